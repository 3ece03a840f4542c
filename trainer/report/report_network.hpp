// What a run's network does, found out for its page: it is loaded and asked about the test set on this
// machine. A run may lie here without its network or its data: then that part is a reason instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/infer/test_answers.hpp"
#include "trainer/runs/known_run.hpp"

namespace trainer {

struct ExaminationWish {
  std::string data;  // as in TestDataWish
  std::string device = "auto";
  std::optional<int> threads;
  bool skip_bad_images = false;
  std::size_t most_picture_bytes = 0;  // of the misclassified images together, as PNG
};

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

// Throws UsageError for a device that is none, BackendError where one that was asked for cannot be used.
ExaminedNetwork examine_network(const Environment& environment, const KnownRun& run,
                                const ExaminationWish& wish);

struct ConfusedPair {
  int label = 0;
  int prediction = 0;
  std::uint64_t images = 0;
};

// The most frequent first, equal ones in the order of their labels.
std::vector<ConfusedPair> confused_pairs(const TestAnswers& test, std::size_t most);

}  // namespace trainer
