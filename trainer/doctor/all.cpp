#include "trainer/doctor/all.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>

#include "kernels/backend.hpp"
#include "trainer/doctor/child_trainings.hpp"
#include "trainer/doctor/gather.hpp"
#include "trainer/doctor/report.hpp"
#include "trainer/doctor/several_report.hpp"
#include "trainer/system/errors.hpp"

namespace trainer::doctor {

namespace {

struct Tested {
  std::vector<DeviceRow> rows;
  std::vector<std::string> bus_ids;  // of the rows; empty for what is no GPU
};

// The GPUs of this process, or with --device cpu two trainings side by side on the processor.
Tested devices_of(const std::string& device) {
  Tested tested;
  if (device == "cpu") {
    const DeviceRow row{.device = "cpu", .name = describe_cpu(1).model, .gpu = false};
    return {{row, row}, {"", ""}};
  }
  for (const GpuInfo& gpu : all_gpus()) {
    tested.rows.push_back({.device = fmt::format("cuda:{}", gpu.index), .name = gpu.name});
    tested.bus_ids.push_back(gpu.pci_bus_id);
  }
  return tested;
}

void require_meaning(const AllOptions& options) {
  if (options.device != "auto" && options.device != "cpu")
    throw UsageError(fmt::format("--all --device {}: auto for every GPU, or cpu", options.device));
  if (!std::isfinite(options.minutes))
    throw UsageError(fmt::format("--minutes {}: a time in minutes is a number", options.minutes));
}

void note_xids(const std::vector<std::string>& bus_ids, bool before, std::vector<DeviceRow>* rows) {
  const std::optional<std::string> log = read_kernel_log();
  if (!log) return;
  const std::map<std::string, int> counts = count_xids(*log);
  for (std::size_t i = 0; i < rows->size(); ++i) {
    if (bus_ids[i].empty()) continue;
    const auto found = counts.find(bus_ids[i].substr(0, bus_ids[i].find('.')));
    const int count = found == counts.end() ? 0 : found->second;
    DeviceRow& row = (*rows)[i];
    if (!before) row.new_xids = std::max(0, count - row.xids.value_or(count));
    row.xids = count;
  }
}

// Why there is no GPU to test, as the checklist has it.
AllOutcome refuse_all(const GpuProbe& probe, const Nvml& nvml, bool json) {
  Facts facts;
  facts.require_gpu = true;
  facts.gpu = gather_gpu(probe, nvml, 0);
  std::vector<Check> checks;
  check_gpu(facts, &checks);
  return {json ? report_json(facts, checks).dump(2) + "\n" : report_text(facts, checks),
          exit_status(class_of(checks))};
}

}  // namespace

AllOutcome test_all(const Environment& environment, const AllOptions& options) {
  const Nvml nvml;
  require_meaning(options);
  auto [rows, bus_ids] = devices_of(options.device);
  if (rows.empty()) return refuse_all(*open_gpu_probe(), nvml, options.json);
  const TrainingOrder order{.program = environment.executable,
                            .model = options.model,
                            .data = options.data,
                            .seed = options.seed,
                            .threads = std::max(1, describe_cpu(1).cores / 2)};
  SeveralSettings settings{.seconds = 60 * options.minutes};
  if (!options.json)
    settings.say = [](const std::string& line) { std::fputs((line + "\n").c_str(), stderr); };
  ChildTrainings devices(order, nvml, bus_ids);
  note_xids(bus_ids, true, &rows);
  test_devices(settings, devices, &rows);
  if (devices.stop_signal() != 0) return {"", 128 + devices.stop_signal()};
  note_xids(bus_ids, false, &rows);
  const std::vector<std::string> findings = judge(rows);
  return {options.json ? several_json(rows, findings).dump(2) + "\n" : several_text(rows, findings),
          findings.empty() ? 0 : 1};
}

}  // namespace trainer::doctor
