#include "trainer/runs/known_run.hpp"

#include <fmt/format.h>
#include <limits>

#include "trainer/console/json_lookup.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

constexpr std::uint64_t kMostMetricsBytes = 64 << 20;

// JSON has no NaN: a loss that was not finite is null.
double number_or_nan(const ordered_json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

RunEpoch epoch_of(const ordered_json& line) {
  RunEpoch epoch;
  line.at("epoch").get_to(epoch.epoch);
  line.at("step").get_to(epoch.step);
  line.at("images").get_to(epoch.images);
  epoch.train_loss = number_or_nan(line.at("train_loss"));
  line.at("test_accuracy").get_to(epoch.test_accuracy);
  epoch.test_loss = number_or_nan(line.at("test_loss"));
  if (line.contains("validation_accuracy")) {
    epoch.validation_accuracy = line.at("validation_accuracy").get<double>();
    epoch.validation_loss = number_or_nan(line.at("validation_loss"));
  }
  epoch.learning_rate = line.value("learning_rate", 0.0);
  line.at("seconds").get_to(epoch.seconds);
  epoch.evaluation_seconds = line.value("evaluation_seconds", 0.0);
  return epoch;
}

// The library's text without its own numbers in front: "[json.exception.out_of_range.403] key 'x' ...".
std::string reason_of(const nlohmann::json::exception& error) {
  const std::string text = error.what();
  const std::size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

std::vector<RunEpoch> epochs_of(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  const std::vector<ordered_json> lines = read_json_lines(path, kMostMetricsBytes);
  std::vector<RunEpoch> epochs;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    try {
      epochs.push_back(epoch_of(lines[i]));
    } catch (const nlohmann::json::exception& error) {
      throw FileError(
          fmt::format("{}:{}: not an evaluation of a run: {}", path.string(), i + 1, reason_of(error)));
    }
  }
  return epochs;
}

std::optional<SprintFound> sprint_of(const RunRecord& record) {
  const auto number = [&](JsonPath path) { return find_number(record.results, path); };
  const auto mean = number({"sprint", "accuracy_percent", "mean"});
  const auto error = number({"sprint", "accuracy_percent", "standard_error"});
  const auto seconds = number({"sprint", "train_and_test_seconds", "median"});
  if (!mean || !error || !seconds) return std::nullopt;
  return SprintFound{*mean / 100, *error / 100, *seconds};
}

// Of another machine's run only its record tells.
bool says_running(const RunRecord& record) {
  return record.status == RunStatus::kRunning && target_name(record) == "local";
}

}  // namespace

std::optional<double> KnownRun::accuracy() const {
  if (sprint) return sprint->mean;
  return epochs.empty() ? std::nullopt : std::optional(epochs.back().test_accuracy);
}

double KnownRun::seconds() const {
  if (record.seconds > 0) return record.seconds;
  double sum = 0;
  for (const RunEpoch& epoch : epochs) sum += epoch.seconds + epoch.evaluation_seconds;
  return sum;
}

std::string status_word(const KnownRun& run) {
  if (run.killed) return "killed";
  const RunRecord& record = run.record;
  const bool waits = record.status == RunStatus::kRunning && is_submission(record);
  if (waits && !record.target.contains("started")) return "submitted";
  return std::string(name_of(record.status));
}

// A run that ends closes its record before it gives its lock back. So what says "running" although the lock
// is free is read once more: only then it is known to stay so.
KnownRun read_known_run(const std::filesystem::path& folder) {
  KnownRun run;
  run.folder = folder;
  run.id = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  run.record = read_run_record(folder / kRunRecordName);
  if (says_running(run.record) && !is_being_written(folder)) {
    run.record = read_run_record(folder / kRunRecordName);
    run.killed = says_running(run.record);
  }
  run.epochs = epochs_of(folder / kMetricsName);
  run.sprint = sprint_of(run.record);
  return run;
}

}  // namespace trainer
