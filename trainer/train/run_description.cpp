// Command, network, recipe, data, machine: everything that a reader needs to do the run again.
#include "trainer/train/run_description.hpp"

#include <ctime>

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

}  // namespace trainer
