#include "trainer/runs/known_run.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <limits>
#include <system_error>
#include <utility>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/store/registry.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

std::optional<SprintFound> sprint_of(const RunRecord& record) {
  const auto number = [&](JsonPath path) { return find_number(record.results, path); };
  const auto mean = number({"sprint", "accuracy_percent", "mean"});
  const auto error = number({"sprint", "accuracy_percent", "standard_error"});
  const auto seconds = number({"sprint", "train_and_test_seconds", "median"});
  if (!mean || !error || !seconds) return std::nullopt;
  const auto views = find_count(record.results, {"sprint", "views"});
  return SprintFound{*mean / 100, *error / 100, *seconds, static_cast<int>(views.value_or(1))};
}

// The process of another machine's run cannot be looked for: only its record tells.
bool says_running(const RunRecord& record) {
  return record.status == RunStatus::kRunning && target_name(record) == "local";
}

// "a, b and 4 more"
std::string first_of(std::vector<std::string> names) {
  constexpr std::size_t kMostNamed = 8;
  const std::size_t more = names.size() - std::min(names.size(), kMostNamed);
  names.resize(names.size() - more);
  return joined(names) + (more > 0 ? fmt::format(" and {} more", more) : "");
}

void add_run(RunList& list, const fs::path& folder) {
  std::error_code ignored;
  std::string reason = fmt::format("no {}", kRunRecordName);
  try {
    if (fs::exists(folder / kRunRecordName, ignored)) {
      list.runs.push_back(read_known_run(folder));
      return;
    }
  } catch (const FileError& error) {
    reason = error.what();
    const std::string path = folder.string() + "/";  // which the note names once
    for (std::size_t at = reason.find(path); at != std::string::npos; at = reason.find(path))
      reason.erase(at, path.size());
  }
  list.unreadable.push_back(fmt::format("{} ({})", folder.filename().string(), reason));
}

// Whether the run was started or resumed between the evaluation before `epoch` and its own.
bool is_warm_up(const KnownRun& run, std::size_t epoch) {
  if (epoch == 0) return true;
  return std::ranges::any_of(run.record.resumed, [&](const RunRecord::Resumption& part) {
    return part.step >= run.epochs[epoch - 1].step && part.step < run.epochs[epoch].step;
  });
}

}  // namespace

std::optional<Score> KnownRun::score(const char* split) const {
  const ordered_json& results = record.results;
  if (const auto accuracy = find_number(results, {split, "accuracy"}))
    return Score{find_count(results, {split, "images"}).value_or(0),
                 find_number(results, {split, "loss"}).value_or(std::numeric_limits<double>::quiet_NaN()),
                 *accuracy};
  if (epochs.empty() || epochs.size() != evaluations()) return std::nullopt;
  return split == std::string_view("test") ? epochs.back().test : epochs.back().validation;
}

std::optional<double> KnownRun::accuracy() const {
  if (sprint) return sprint->mean;
  const std::optional<Score> test = score("test");
  return test ? std::optional(test->accuracy) : std::nullopt;
}

std::uint64_t KnownRun::evaluations() const {
  const ordered_json* seeds = find_value(record.results, {"sprint", "seeds"});
  if (seeds != nullptr && seeds->is_array()) return seeds->size();
  return find_count(record.results, {"epochs"}).value_or(epochs.size());
}

std::string KnownRun::disagreement() const {
  const std::uint64_t told = evaluations();
  if (told != epochs.size())
    return fmt::format("{} holds {} of {} {}s", kMetricsName, epochs.size(), told, epoch_word());
  const std::optional<double> result = accuracy();
  if (!result || epochs.empty() || sprint) return "";
  const double own = epochs.back().test.accuracy;
  if (std::abs(own - *result) < 1e-6) return "";
  return fmt::format("its accuracy is {:.4g} % in {} and {:.4g} % in {}", 100 * *result, kRunRecordName,
                     100 * own, kMetricsName);
}

double KnownRun::seconds() const {
  if (record.seconds > 0) return record.seconds;
  double sum = 0;
  for (const EpochRecord& epoch : epochs) sum += epoch.seconds + epoch.evaluation_seconds;
  return sum;
}

std::string KnownRun::status() const {
  if (killed || copied) return killed ? "killed" : "copied";
  const bool waits = record.status == RunStatus::kRunning && is_submission(record);
  if (waits && !record.target.contains("started")) return "submitted";
  return std::string(name_of(record.status));
}

std::string KnownRun::precision() const {
  return find_text(record.recipe, {"settings", "precision"}).value_or("fp32");
}

// A run that ends closes its record before it releases its lock. So a record that says "running" although the lock is free is read
// once more: only then is it known to stay so.
KnownRun read_known_run(const fs::path& folder) {
  KnownRun run;
  run.folder = folder;
  run.id = run_id(folder);
  run.record = read_run_record(folder / kRunRecordName);
  if (says_running(run.record) && !is_being_written(folder)) {
    run.record = read_run_record(folder / kRunRecordName);
    const bool left_open = says_running(run.record);
    run.killed = left_open && was_written_here(run.record, folder);
    run.copied = left_open && !run.killed;
  }
  run.epochs = read_epochs(folder / kMetricsName, run.record.data);
  run.sprint = sprint_of(run.record);
  return run;
}

RunList list_runs(const fs::path& folder) {
  RunList list;
  std::error_code error;
  if (!fs::exists(folder, error)) return list;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const std::string name = entry->path().filename().string();
    const bool hidden = name.starts_with('.') ||
                        (name == kRegistryName && !fs::exists(entry->path() / kRunRecordName, ignored));
    if (!hidden && entry->is_directory(ignored)) add_run(list, entry->path());
  }
  if (error)
    throw FileError(fmt::format("cannot read the runs folder {}: {}", folder.string(), error.message()));
  std::ranges::sort(list.runs, std::greater(),
                    [](const KnownRun& run) { return std::pair(instant_of(run.record.started), run.id); });
  std::ranges::sort(list.unreadable);
  return list;
}

std::string unreadable_note(const RunList& list, const fs::path& folder) {
  const std::size_t count = list.unreadable.size();
  if (count == 0) return "";
  return printable(fmt::format("note: {} in {} {} not listed: {}",
                               count == 1 ? "1 folder" : fmt::format("{} folders", count), folder.string(),
                               count == 1 ? "is" : "are", first_of(list.unreadable)));
}

std::string disagreement_note(const std::vector<KnownRun>& runs) {
  std::vector<std::string> names;
  for (const KnownRun& run : runs)
    if (const std::string text = run.disagreement(); !text.empty())
      names.push_back(fmt::format("{} ({})", run.id, text));
  if (names.empty()) return "";
  return printable(fmt::format("note: {} and {} disagree, and the former is believed: {}", kRunRecordName,
                               kMetricsName, first_of(names)));
}

EpochTimes epoch_times(const KnownRun& run) {
  EpochTimes times;
  std::uint64_t whole = 0;  // a recipe that counts steps may have cut the last epoch short
  for (const EpochRecord& epoch : run.epochs) whole = std::max(whole, epoch.images);
  for (std::size_t i = 0; i < run.epochs.size(); ++i) {
    if (run.epochs[i].images != whole || !(run.epochs[i].seconds > 0)) continue;
    if (!is_warm_up(run, i)) times.timed.push_back(run.epochs[i].seconds);
    if (i == 0) times.warm_up = run.epochs[i].seconds;
  }
  return times;
}

}  // namespace trainer
