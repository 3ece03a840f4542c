// A trained network's answers to a whole test set: which data it can be asked about, what it answered to each
// image, and the sums that `trainer eval` prints and a run's report shows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "trainer/infer/trained_network.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/train/loop.hpp"

namespace trainer {

struct TestDataRequest {
  std::string run;   // as in resolve_run
  std::string data;  // --data; empty: $TRAINER_DATA, else what the run itself was trained on
  bool skip_bad_images = false;
};

// A test set that the network can be asked about. Throws UsageError where its images or labels are not the
// network's, data::DataError, FileError.
data::Dataset matching_test_data(const Environment& environment, const TestDataRequest& request,
                                 const SavedNetwork& saved);

struct TestAnswers {
  Score score;
  int classes = 0;
  std::vector<std::uint64_t> confusion;   // [label, prediction]
  std::vector<std::uint8_t> predictions;  // [image]
  std::vector<float> confidences;         // [image], of the prediction

  std::uint64_t at(int label, int prediction) const {
    return confusion[static_cast<std::size_t>(label) * classes + prediction];
  }
  std::uint64_t labelled(int label) const;
  std::uint64_t predicted(int prediction) const;
};

TestAnswers answer_test_set(TrainedNetwork& trained, const data::Split& test);

// part / whole; 0 of nothing is 0.
double fraction(std::uint64_t part, std::uint64_t whole);

}  // namespace trainer
