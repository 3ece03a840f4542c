// Two files of weights, tensor by tensor.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/store/safetensors.hpp"

namespace trainer {

struct TensorDifference {
  std::string name = {};
  std::vector<std::uint64_t> shape = {};
  std::uint64_t values = 0;
  std::uint64_t different = 0;  // values whose bits differ
  std::uint64_t first =
      0;  // the index of the first of them in row-major order; then the value in either file
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
[[nodiscard]] nlohmann::ordered_json weight_differences_json(const std::vector<TensorDifference>& all);

}  // namespace trainer
