// What a run's network does: it is loaded on this machine and evaluated on the test set for the page. If the run lies here
// without its network or its data, the page gives the reason instead.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "data/image.hpp"
#include "trainer/infer/trained_network.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer {

struct ExaminedNetwork {
  std::string problem;                   // why there is no network; everything below is empty then
  std::string test_problem;              // why it was not tested; what belongs to the test is empty then
  std::string conditions;                // "on the CPU in fp32"
  std::vector<std::string> label_names;  // [classes]
  std::string data_path;
  bool other_data = false;  // than it was trained on
  std::optional<TestAnswers> test;
  nlohmann::ordered_json misclassified;  // the values of report.html's "pictures", the most confident first
  nlohmann::ordered_json filters;        // the values of its "filters"
  nlohmann::ordered_json augmented;      // the values of its "augmented"; null if training changed no image
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
nlohmann::ordered_json network_json(const ExaminedNetwork& network);

// "data:image/png;base64,...": a URL that holds the image itself.
std::string data_uri(const data::Image& image);

}  // namespace trainer
