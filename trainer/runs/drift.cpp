#include "trainer/runs/drift.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>
#include <set>

#include "models/network.hpp"
#include "models/spec.hpp"
#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/runs/run_comparison.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

// The parameters as tests use them (their moving averages, if the file has these), without an optimiser's state, whose names have that of
// a parameter in front ("conv1.weight.m"), and what ranks left out.
std::vector<Tensor> weights_of(const SafetensorsFile& file) {
  std::set<std::string> names;
  for (const Tensor& tensor : file.tensors()) names.insert(tensor.name);
  std::vector<Tensor> found;
  for (const Tensor& tensor : file.tensors()) {
    const std::size_t dot = tensor.name.rfind('.');
    const std::string owner = tensor.name.substr(0, dot);
    if (owner == "gradient_residuals" || (dot != std::string::npos && names.contains(owner))) continue;
    const Tensor* average = file.find(tensor.name + std::string(kAverageSuffix));
    found.push_back(average != nullptr ? *average : tensor);
    found.back().name = tensor.name;
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

// Whether the settings leave the recipe and the data as they are; the number of epochs, the seed and where it computes aside.
bool has_own_recipe(const ordered_json& settings) {
  constexpr std::string_view kFree[] = {"seed", "epochs", "precision", "engine", "bits", "skip_bad_images"};
  for (const auto& [name, value] : settings.items()) {
    const bool is_usual = value.is_null() || value == false || (name == "channels" && value == 1);
    if (!is_usual && std::ranges::find(kFree, name) == std::end(kFree)) return false;
  }
  return settings.is_object();
}

bool is_shipped(const RunRecord& record, const fs::path& models) {
  try {
    return find_spec(record.model, models).text == record.spec_text;
  } catch (const std::exception&) {
    return false;  // a network of the user's
  }
}

double tested(const KnownRun& run) {
  if (const auto accuracy = run.accuracy()) return 100 * *accuracy;
  throw FileError(fmt::format("the run {} was not tested: it ended before its first evaluation", run.id));
}

std::string known_text(const Drift& drift) {
  if (drift.known == nullptr) return "no record of this network, recipe and precision over seeds";
  const KnownAccuracy& known = *drift.known;
  return fmt::format(
      "mean {:.3f} %, deviation {:.3f} over {} seeds: {:+.3f} points, {} three standard errors ({:.3f})",
      known.mean, known.deviation, known.seeds, drift.now - known.mean,
      drift.is_within() ? "within" : "BEYOND", drift.allowed);
}

}  // namespace

std::vector<TensorDifference> weight_differences(const SafetensorsFile& a, const SafetensorsFile& b) {
  const std::vector<Tensor> in_a = weights_of(a);
  const std::vector<Tensor> in_b = weights_of(b);
  const auto refuse = [](const SafetensorsFile& file, const std::string& what) {
    throw FileError(
        fmt::format("{}: {}: these are different networks (trainer runs compare tells how two runs differ)",
                    file.path().string(), what));
  };
  std::vector<TensorDifference> all;
  for (const Tensor& tensor : in_a) {
    const auto other = std::ranges::find(in_b, tensor.name, &Tensor::name);
    if (other == in_b.end()) {
      refuse(b, fmt::format("it has no tensor '{}'", tensor.name));
    } else if (other->shape != tensor.shape) {
      refuse(b, fmt::format("'{}' is [{}], not [{}]", tensor.name, fmt::join(other->shape, ", "),
                            fmt::join(tensor.shape, ", ")));
    } else {
      all.push_back(difference_of(tensor, *other));
    }
  }
  for (const Tensor& tensor : in_b)
    if (std::ranges::find(in_a, tensor.name, &Tensor::name) == in_a.end())
      refuse(a, fmt::format("it has no tensor '{}'", tensor.name));
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

ordered_json weight_differences_json(const std::vector<TensorDifference>& all) {
  ordered_json json{{"same_bits", count_different(all) == 0}, {"tensors", ordered_json::array()}};
  for (const TensorDifference& one : all)
    json["tensors"].push_back({{"name", one.name},
                               {"shape", one.shape},
                               {"values", one.values},
                               {"different", one.different},
                               {"largest_change", one.largest_change},
                               {"largest_value", one.largest_value}});
  return json;
}

const KnownAccuracy* known_accuracy(const KnownRun& run, const fs::path& models) {
  const RunRecord& record = run.record;
  const ordered_json* settings = find_value(record.recipe, {"settings"});
  const bool whole =
      run.sprint || find_count(record.results, {"step"}) == find_count(record.results, {"total_steps"});
  if (!whole || record.data.fingerprint != kMnistFingerprint || settings == nullptr ||
      !has_own_recipe(*settings) || !is_shipped(record, models))
    return nullptr;
  const auto epochs = static_cast<int>(find_count(record.recipe, {"epochs"}).value_or(0));
  const auto* found = std::ranges::find_if(kKnownAccuracies, [&](const KnownAccuracy& known) {
    return known.network == record.model && known.epochs == epochs && known.precision == run.precision();
  });
  return found == std::end(kKnownAccuracies) ? nullptr : found;
}

bool Drift::is_within() const {
  return known == nullptr || std::abs(now - known->mean) <= allowed;
}

int Drift::status() const {
  return same_bits() ? 0 : is_within() ? 3 : 4;
}

Drift drift_between(const KnownRun& before, const KnownRun& now, const fs::path& models) {
  Drift drift{.differences = differences({before, now}),
              .weights = weight_differences(SafetensorsFile::read(model_file(before.folder)),
                                            SafetensorsFile::read(model_file(now.folder))),
              .before = tested(before),
              .now = tested(now),
              .known = known_accuracy(now, models),
              .parts = before.record.resumed.size(),
              .first = before.id,
              .run = now.id};
  if (drift.known != nullptr) {
    const double own = now.sprint ? static_cast<double>(now.epochs.size()) : 1;
    drift.allowed = 3 * drift.known->deviation * std::sqrt(1.0 / drift.known->seeds + 1 / own);
  }
  return drift;
}

std::string drift_text(const Drift& drift) {
  return fmt::format("A  {}\nB  {}\n", drift.first, drift.run) + differences_text(drift.differences) +
         (drift.parts == 0
              ? ""
              : report_line(
                    "resumed",
                    fmt::format("A, {} times: where --epochs changed its schedule on the way, B differs",
                                drift.parts))) +
         report_line("weights", first_difference_text(drift.weights)) +
         report_line("accuracy", fmt::format("{:.3f} % before, {:.3f} % now", drift.before, drift.now)) +
         report_line("record", known_text(drift));
}

ordered_json drift_json(const Drift& drift) {
  ordered_json json{{"event", "drift"},
                    {"first", drift.first},
                    {"run", drift.run},
                    {"resumed", drift.parts},
                    {"differences", drift.differences},
                    {"weights", weight_differences_json(drift.weights)},
                    {"accuracy_percent", {{"before", drift.before}, {"now", drift.now}}},
                    {"record", nullptr}};
  if (drift.known != nullptr)
    json["record"] = {{"mean", drift.known->mean},
                      {"deviation", drift.known->deviation},
                      {"seeds", drift.known->seeds},
                      {"allowed", drift.allowed},
                      {"within", drift.is_within()}};
  json["status"] = drift.status();
  return json;
}

}  // namespace trainer
