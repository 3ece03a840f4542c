// Of the record: command, network, recipe, data, machine, all that a reader needs to do the run again.
#include "trainer/train/recorded_run.hpp"

#include <ctime>
#include <fmt/format.h>
#include <utility>

#include "trainer/device/device_report.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

void describe_device(RunRecord& record, const DeviceInfo& info, const std::string& gpu_reason) {
  record.threads = info.cpu.threads;
  record.device = device_json(info, gpu_reason);
  record.device["report"] = device_report(info, gpu_reason);
  record.versions = versions_json(info);
  record.machine = machine_json(info);
}

RunRecord describe_run(const Environment& environment, const Setup& setup, const DeviceInfo& info,
                       const std::string& gpu_reason) {
  RunRecord record;
  record.command = environment.arguments;
  record.model = setup.spec.name;
  record.spec_text = setup.spec.text;
  record.recipe = recipe_json(setup.spec.recipe);
  record.recipe["settings"] = to_json(setup.settings);
  record.seed = setup.settings.seed;
  describe_device(record, info, gpu_reason);
  record.data = {(environment.runs.working_folder / setup.dataset.path).string(), setup.dataset.fingerprint,
                 setup.train.images, setup.validation.images, setup.test.images};
  record.program_version = kVersion;
  record.commit = kCommit;
  record.started = iso_time(std::time(nullptr));
  return record;
}

void RecordedRun::open(RunFolder folder, RunRecord first, double earlier_seconds) {
  folder_.emplace(std::move(folder));
  metrics_.emplace(file(kMetricsName));
  record = std::move(first);
  earlier_seconds_ = earlier_seconds;
  write_run_record(file(kRunRecordName), record);
}

void RecordedRun::close(RunStatus status, const std::string& reason) {
  if (!folder_) return;
  record.status = status;
  record.reason = reason;
  record.ended = iso_time(std::time(nullptr));
  record.seconds = seconds();
  write_run_record(file(kRunRecordName), record);
}

void RecordedRun::close_failed(const std::string& reason, Console& console) {
  try {
    close(RunStatus::kFailed, reason);
  } catch (const std::exception& error) {
    console.warning(fmt::format("the run's record could not be closed: {}", error.what()));
  }
}

}  // namespace trainer
