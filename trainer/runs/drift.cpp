#include "trainer/runs/drift.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "models/spec.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/runs/run_differences.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

// Whether the settings leave the recipe and the data as they are; the number of epochs, the seed and where it computes aside.
bool has_own_recipe(const ordered_json& settings) {
  constexpr std::string_view kFree[] = {"seed", "epochs", "precision", "engine", "bits", "skip_bad_images"};
  for (const auto& [name, value] : settings.items()) {
    const bool is_usual = value.is_null() || value == false || (name == "channels" && value == 1);
    if (!is_usual && std::ranges::find(kFree, name) == std::end(kFree)) return false;
  }
  return settings.is_object();
}

bool is_shipped(const RunRecord& record, const std::filesystem::path& models) {
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

const KnownAccuracy* known_accuracy(const KnownRun& run, const std::filesystem::path& models) {
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

Drift drift_between(const KnownRun& before, const KnownRun& now, const std::filesystem::path& models) {
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
