// What a run's network does: it is loaded on this machine and evaluated on the test set for the page. If the run lies here
// without its network or its data, the page gives the reason instead. And what it sees, as images: the pictures that it takes for
// another label, its confusion matrix and its first layer's filters. The page shows them one by one, TensorBoard on a sheet each.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "data/image.hpp"
#include "kernels/math/augmentation.hpp"
#include "trainer/infer/trained_network.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/tensorboard/run_events.hpp"

namespace trainer {

struct ExaminedNetwork {
  std::string problem;                   // why there is no network; everything below is empty then
  std::string test_problem;              // why it was not tested; what belongs to the test is empty then
  std::string conditions;                // "on the CPU in fp32"
  std::vector<std::string> label_names;  // [classes]
  std::string data_path;
  bool other_data = false;  // than it was trained on
  std::optional<TestAnswers> test;
  ordered_json misclassified;  // the values of report.html's "pictures", the most confident first
  ordered_json filters;        // the values of its "filters"
  ordered_json augmented;      // the values of its "augmented"; null if training changed no image
};

// `most_picture_bytes` bounds the misclassified images together, as PNG; `options` name device and data. Throws UsageError for an
// unknown device, BackendError if a requested one cannot be used.
ExaminedNetwork examine_network(const Environment& environment, const KnownRun& run, InferenceOptions options,
                                std::size_t most_picture_bytes);

struct ConfusedPair {
  int label = 0;
  int prediction = 0;
  std::uint64_t images = 0;
};

// The most frequent first, equal ones in the order of their labels.
std::vector<ConfusedPair> confused_pairs(const TestAnswers& test, std::size_t most);

// "98.93 ± 0.10 %": with the standard error, if the number of images is known.
std::string score_text(const Score& score);

// The values of report.html's part "network": results on the test set, and the first layer's filters. Up to 20 classes have a
// confusion matrix, more classes a list of the most confused pairs.
ordered_json network_json(const ExaminedNetwork& network);

// "data:image/png;base64,...": a URL that holds the image itself.
std::string data_uri(const data::Image& image);

inline constexpr int kLargestShownEdge = 64;

// An image of a data set, [h, w, c], as the page shows it: in colour if it has three channels or more, else grey. If it is larger
// than kLargestShownEdge pixels, it is scaled down by averages.
data::Image shown_image(std::span<const std::uint8_t> pixels, const Shape& shape);

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

// A sheet of a data set's training images, as they are or as a recipe changes them: a row of ten for each label, `most_rows` at the
// most: its first images; or, if the augmentation changes any, the first one and what nine epochs make of it with this seed.
data::Image data_sheet(const data::Dataset& data, const Augmentation& augmentation, std::uint64_t seed,
                       std::size_t most_rows);

}  // namespace trainer
