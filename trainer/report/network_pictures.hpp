// What a trained network sees, as images: the pictures that it takes for another label, its confusion matrix and its first layer's
// filters. The report shows them one by one, TensorBoard on a sheet each.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/image.hpp"
#include "trainer/infer/trained_network.hpp"
#include "trainer/tensorboard/run_events.hpp"

namespace trainer {

inline constexpr int kLargestShownEdge = 64;

// An image of a data set, [h, w, c], as the page shows it: in colour if it has three channels or more, else grey. If it is larger
// than kLargestShownEdge pixels, it is scaled down by averages.
data::Image shown_image(std::span<const std::uint8_t> pixels, const Shape& shape);

// Images of one size in rows of ten, on white.
data::Image picture_sheet(const std::vector<data::Image>& images);

// Weights [out, h, w, c] as one image for each output, `most` at the most. All have one scale, so that weak filters look weak.
// Three channels are shown as red, green and blue, and grey is zero; otherwise the sum of the channels is shown from blue
// (negative) over white to orange (positive).
std::vector<data::Image> weight_pictures(std::span<const float> weights, const Shape& shape,
                                         std::size_t most);

// The first layer's weights, if they are applied to pixels: [out, k, k, c], or [out, h * w * c] for the whole image.
struct FirstFilters {
  std::string layer;
  std::size_t count = 0;
  Shape shape;
  std::vector<data::Image> pictures;  // some of them
};
std::optional<FirstFilters> first_filters(const Network& network, std::size_t most);

// Places of the misclassified images among the tested ones, the most confident first.
std::vector<std::size_t> by_confidence(const TestAnswers& test, const std::vector<std::uint8_t>& labels);

// Adds the pictures of a saved network to its run's events and, if asked, the histograms of its weights. Returns why something is
// missing: the network or its test images; empty if nothing is. Throws what events' sink does.
std::string add_network(RunEvents& events, const Environment& environment, const InferenceOptions& options,
                        bool with_weights);

}  // namespace trainer
