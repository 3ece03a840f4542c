#include "trainer/runs/known_run.hpp"

#include "trainer/console/json_lookup.hpp"
#include "trainer/store/run_folder.hpp"

namespace trainer {

namespace {

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
  return epochs.empty() ? std::nullopt : std::optional(epochs.back().test.accuracy);
}

double KnownRun::seconds() const {
  if (record.seconds > 0) return record.seconds;
  double sum = 0;
  for (const EpochRecord& epoch : epochs) sum += epoch.seconds + epoch.evaluation_seconds;
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
  const RunRecord::DataSet& data = run.record.data;
  run.epochs = read_epochs(folder / kMetricsName, {data.test_images, data.validation_images});
  run.sprint = sprint_of(run.record);
  return run;
}

}  // namespace trainer
