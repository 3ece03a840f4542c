#include "trainer/runs/weight_differences.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>
#include <set>

#include "models/words.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

// The parameters without an optimiser's state, whose names have that of a parameter in front ("conv1.weight.m"), and what ranks left out.
std::vector<const Tensor*> weights_of(const SafetensorsFile& file) {
  std::set<std::string> names;
  for (const Tensor& tensor : file.tensors()) names.insert(tensor.name);
  std::vector<const Tensor*> found;
  for (const Tensor& tensor : file.tensors()) {
    const std::size_t dot = tensor.name.rfind('.');
    const std::string owner = tensor.name.substr(0, dot);
    if (owner != "gradient_residuals" && (dot == std::string::npos || !names.contains(owner)))
      found.push_back(&tensor);
  }
  return found;
}

float value_at(const Tensor& tensor, std::uint64_t index) {
  float value = 0;
  std::memcpy(&value, tensor.bytes.data() + index * sizeof(float), sizeof(float));
  return value;
}

TensorDifference difference_of(const Tensor& a, const Tensor& b) {
  TensorDifference found{.name = a.name, .shape = a.shape, .values = a.bytes.size() / sizeof(float)};
  for (std::uint64_t i = 0; i < found.values; ++i) {
    const float x = value_at(a, i);
    const float y = value_at(b, i);
    found.largest_value = std::max<double>(found.largest_value, std::abs(x));
    if (std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y)) continue;
    if (found.different++ == 0) {
      found.first = i;
      found.first_a = x;
      found.first_b = y;
    }
    const double change = std::abs(static_cast<double>(x) - y);
    found.largest_change =
        std::max(found.largest_change, std::isnan(change) ? std::numeric_limits<double>::infinity() : change);
  }
  return found;
}

std::uint64_t count_different(const std::vector<TensorDifference>& all) {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(all, [](const TensorDifference& one) { return one.different > 0; }));
}

}  // namespace

std::vector<TensorDifference> weight_differences(const SafetensorsFile& a, const SafetensorsFile& b) {
  const std::vector<const Tensor*> in_a = weights_of(a);
  const std::vector<const Tensor*> in_b = weights_of(b);
  const auto refuse = [](const SafetensorsFile& file, const std::string& what) {
    throw FileError(
        fmt::format("{}: {}: these are different networks (trainer runs compare tells how two runs differ)",
                    file.path().string(), what));
  };
  std::vector<TensorDifference> all;
  for (const Tensor* tensor : in_a) {
    const auto other = std::ranges::find(in_b, tensor->name, [](const Tensor* one) { return one->name; });
    if (other == in_b.end()) {
      refuse(b, fmt::format("it has no tensor '{}'", tensor->name));
    } else if ((*other)->shape != tensor->shape) {
      refuse(b, fmt::format("'{}' is [{}], not [{}]", tensor->name, fmt::join((*other)->shape, ", "),
                            fmt::join(tensor->shape, ", ")));
    } else {
      all.push_back(difference_of(*tensor, **other));
    }
  }
  for (const Tensor* tensor : in_b)
    if (std::ranges::find(in_a, tensor->name, [](const Tensor* one) { return one->name; }) == in_a.end())
      refuse(a, fmt::format("it has no tensor '{}'", tensor->name));
  return all;
}

const TensorDifference* first_difference(const std::vector<TensorDifference>& all) {
  const auto found = std::ranges::find_if(all, [](const TensorDifference& one) { return one.different > 0; });
  return found == all.end() ? nullptr : &*found;
}

std::string first_difference_text(const std::vector<TensorDifference>& all) {
  const TensorDifference* first = first_difference(all);
  if (first == nullptr) return "the same bits";
  return fmt::format(
      "{} differs first ({} of {} tensors do): {} of {} values, by at most {:.3g}; value {} is {:.9g} and "
      "{:.9g}",
      first->name, count_different(all), all.size(), grouped(first->different), grouped(first->values),
      first->largest_change, first->first, first->first_a, first->first_b);
}

std::string weight_differences_text(const std::vector<TensorDifference>& all) {
  TextTable table(
      {{"tensor"}, {"shape"}, {">values"}, {">different"}, {">largest change"}, {">largest value"}});
  for (const TensorDifference& one : all)
    table.add({one.name, fmt::format("{}", fmt::join(one.shape, "x")), grouped(one.values),
               grouped(one.different), one.different == 0 ? "-" : fmt::format("{:.3g}", one.largest_change),
               fmt::format("{:.3g}", one.largest_value)});
  const std::uint64_t different = count_different(all);
  return table.text(kWideGap) + (different == 0
                                     ? "the same bits\n"
                                     : fmt::format("{} of {} tensors differ\n", different, all.size()));
}

nlohmann::ordered_json weight_differences_json(const std::vector<TensorDifference>& all) {
  nlohmann::ordered_json json{{"same_bits", count_different(all) == 0},
                              {"tensors", nlohmann::ordered_json::array()}};
  for (const TensorDifference& one : all)
    json["tensors"].push_back({{"name", one.name},
                               {"shape", one.shape},
                               {"values", one.values},
                               {"different", one.different},
                               {"largest_change", one.largest_change},
                               {"largest_value", one.largest_value}});
  return json;
}

}  // namespace trainer
