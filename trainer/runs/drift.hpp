// How a training that was done again compares with the first one; and two files of weights, tensor by tensor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/runs/known_accuracies.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/store/safetensors.hpp"

namespace trainer {

struct TensorDifference {
  std::string name = {};
  std::vector<std::uint64_t> shape = {};
  std::uint64_t values = 0;
  std::uint64_t different = 0;  // values whose bits differ
  std::uint64_t first = 0;      // the index of the first in row-major order; then the value in either file
  float first_a = 0, first_b = 0;
  double largest_change = 0;  // max |a - b|; infinite where only one of them is a number
  double largest_value = 0;   // max |a|
};

// The parameters and running statistics of both files, in the order of `a`; an optimiser's state counts in neither. Throws
// FileError with the first tensor that one of them lacks or that has another shape.
[[nodiscard]] std::vector<TensorDifference> weight_differences(const SafetensorsFile& a,
                                                               const SafetensorsFile& b);

// The first tensor that differs; null if all have the same bits.
[[nodiscard]] const TensorDifference* first_difference(const std::vector<TensorDifference>& all);

// "conv1.weight differs first (3 of 8 tensors do): 12 of 600 values, by at most 1.2e-07; value 5 is 0.5 and 0.25", or "the same bits".
[[nodiscard]] std::string first_difference_text(const std::vector<TensorDifference>& all);

// A row for each tensor, and how many of them differ.
[[nodiscard]] std::string weight_differences_text(const std::vector<TensorDifference>& all);
// {"same_bits", "tensors": [{"name", "shape", "values", "different", "largest_change", "largest_value"}]}
[[nodiscard]] ordered_json weight_differences_json(const std::vector<TensorDifference>& all);

// The accuracy over seeds that is known for a run: it trained a shipped network, unchanged, to the end of its own recipe or for
// another number of epochs that was measured, on all of the shipped MNIST. `models` is the folder of the shipped networks.
// Null if there is none.
[[nodiscard]] const KnownAccuracy* known_accuracy(const KnownRun& run, const fs::path& models);

struct Drift {
  ordered_json differences = {};  // configuration, data, versions and machine
  std::vector<TensorDifference> weights = {};
  double before = 0, now = 0;            // accuracies on the test images, per cent
  const KnownAccuracy* known = nullptr;  // what is known of the second run
  double allowed = 0;                    // three standard errors, in points
  std::size_t parts = 0;                 // how often the first one was resumed
  std::string first = {}, run = {};      // the ids of both

  [[nodiscard]] bool same_bits() const { return first_difference(weights) == nullptr; }
  // Whether `now` is less than `allowed` away from the mean over seeds; true without one.
  [[nodiscard]] bool is_within() const;
  // 0: the same bits; 3: other bits, within three standard errors or without a known accuracy; 4: beyond.
  [[nodiscard]] int status() const;
};

// The standard error is that of the difference between the mean over the known seeds and the mean over the run's own (1, or those
// of a sprint): deviation * sqrt(1 / known seeds + 1 / own seeds). Throws FileError if one of the runs holds no network or was not
// tested.
[[nodiscard]] Drift drift_between(const KnownRun& before, const KnownRun& now, const fs::path& models);

[[nodiscard]] std::string drift_text(const Drift& drift);
[[nodiscard]] ordered_json drift_json(const Drift& drift);

}  // namespace trainer
