// Runs that no machine has made: as values, and as folders.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/store/run_folder.hpp"

namespace trainer::test {

// A finished run of 1000 images an epoch, whose epochs took `seconds` each and their tests a tenth of that.
// Accuracies rise from 0.90 by 0.03 an epoch, up to 0.99.
inline KnownRun known_run(const std::string& id, const std::vector<double>& seconds) {
  KnownRun run;
  run.id = id;
  run.record.status = RunStatus::kFinished;
  run.record.reason = "the recipe's end";
  run.record.command = {"trainer", "train"};
  run.record.model = "quick";
  run.record.recipe = {{"batch", 256}, {"settings", {{"precision", "bf16"}}}};
  run.record.seed = 1;
  run.record.threads = 2;
  run.record.device = {{"kind", "cpu"}, {"name", "CPU: of a test, 2 threads"}};
  run.record.data = {"data", "crc32:1-2-3-4", 1000, 0, 100};
  run.record.machine = {{"host", "here"}, {"cores", 2}};
  run.record.versions = {{"trainer", "0.1.0"}};
  run.record.started = "2026-01-01T09:30:00+01:00";
  for (const double epoch : seconds) {
    EpochRecord& e = run.epochs.emplace_back();
    e.epoch = run.epochs.size();
    e.step = 4 * run.epochs.size();
    e.images = 1000;
    const auto number = static_cast<double>(e.epoch);
    e.test = {run.record.data.test_images, 1.0 / number, std::min(0.99, 0.87 + 0.03 * number)};
    e.seconds = epoch;
    e.evaluation_seconds = epoch / 10;
    run.record.seconds += epoch * 1.1;
  }
  return run;
}

// Writes `run` into a folder of its name below runs/.
inline std::filesystem::path write_run(const TemporaryFolder& folder, const KnownRun& run) {
  std::string lines;
  for (const EpochRecord& e : run.epochs) lines += epoch_json(e).dump() + "\n";
  const std::filesystem::path metrics = folder.write("runs/" + run.id + "/metrics.jsonl", lines);
  write_run_record(metrics.parent_path() / kRunRecordName, run.record);
  return metrics.parent_path();
}

}  // namespace trainer::test
