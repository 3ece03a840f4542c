// What a run's network does, found out for its page: it is loaded and asked about the test set on this
// machine. A run may lie here without its network or its data: then that part is a reason instead.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "data/image.hpp"
#include "trainer/infer/trained_network.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer {

struct MisclassifiedImage {
  std::size_t index = 0;  // in the test set
  int label = 0;
  int prediction = 0;
  float confidence = 0;  // in the prediction
  std::string picture;   // data URI
};

struct ExaminedNetwork {
  std::string problem;                   // why there is no network; everything below is empty then
  std::string test_problem;              // why it was not tested; what belongs to the test is empty then
  std::string conditions;                // "on the CPU in fp32"
  std::vector<std::string> label_names;  // [classes]
  std::string data_path;
  bool other_data = false;  // than it was trained on
  std::optional<TestAnswers> test;
  std::vector<MisclassifiedImage> misclassified;  // the most confident first
  struct Filters {
    std::string text;                   // "conv1: 24 filters of 5x5"
    bool coloured = false;              // the pictures' channels are those of the images
    std::size_t count = 0;              // of the layer
    std::vector<std::string> pictures;  // data URIs, of the first ones
  } filters;
};

inline constexpr std::size_t kMostMisclassified = 100;
inline constexpr std::size_t kMostFilters = 64;

// `most_picture_bytes` bounds the misclassified images together, as PNG; `options` name device and data. Throws UsageError for a
// device that is none, BackendError where one that was asked for cannot be used.
ExaminedNetwork examine_network(const Environment& environment, const KnownRun& run, InferenceOptions options,
                                std::size_t most_picture_bytes);

struct ConfusedPair {
  int label = 0;
  int prediction = 0;
  std::uint64_t images = 0;
};

// The most frequent first, equal ones in the order of their labels.
std::vector<ConfusedPair> confused_pairs(const TestAnswers& test, std::size_t most);

// The values of report.html's part "network": what the network does on the test set, and its filters. The confusion matrix of
// up to 20 classes, of more the most confused pairs.
nlohmann::ordered_json network_json(const ExaminedNetwork& network);

inline constexpr int kLargestShownEdge = 64;

// An image of a data set, [h, w, c], as it is looked at: grey, or in colour where it has three channels and more. Larger ones
// are averaged down to kLargestShownEdge.
data::Image shown_image(std::span<const std::uint8_t> pixels, const data::ImageShape& shape);

// Weights [out, h, w, c] as one picture an output, `most` at the most. All share one scale, so that weak filters look weak.
// Three channels are red, green and blue around grey; otherwise the channels' sum goes from blue (negative) over white to
// orange (positive).
std::vector<data::Image> weight_pictures(const std::vector<float>& weights, const data::ImageShape& shape,
                                         std::size_t most);

// "data:image/png;base64,...", the picture itself instead of its address.
std::string data_uri(const data::Image& image);

}  // namespace trainer
