// The trainings and measurements of all devices.
#include "trainer/doctor/fleet.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <sstream>
#include <sys/klog.h>
#include <thread>

#include "kernels/backend.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/store/safetensors.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/process.hpp"
#include "trainer/system/sha256.hpp"
#include "trainer/system/signals.hpp"

namespace trainer::doctor {

namespace fs = std::filesystem;

namespace {

// Hashes names, shapes and bytes alone, since the file holds times and versions as well.
std::string weights_sha256(const fs::path& model) {
  const SafetensorsFile file = SafetensorsFile::read(model);
  Sha256 sum;
  for (const Tensor& tensor : file.tensors()) {
    sum.update(fmt::format("{} {} [{}]\n", tensor.name, kDType, fmt::join(tensor.shape, ",")));
    sum.update(tensor.bytes);
  }
  return sum.hex();
}

std::string contents_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The cause of the first problem in a report of trainer doctor.
std::string first_cause(const nlohmann::ordered_json& report) {
  for (const auto& check : report.at("checks"))
    if (check.at("state") == "problem") return check.at("cause").get<std::string>();
  return "it measured nothing";
}

// The kernel's log; nothing if this process may not read it.
std::optional<std::string> read_kernel_log() {
  constexpr int kReadAll = 3;  // both are actions of syslog(2)
  constexpr int kBufferSize = 10;
  std::string log(static_cast<std::size_t>(std::max(0, klogctl(kBufferSize, nullptr, 0))), ' ');
  const int got = klogctl(kReadAll, log.data(), static_cast<int>(log.size()));
  if (got < 0) return std::nullopt;
  log.resize(static_cast<std::size_t>(got));
  return log;
}

// The GPUs of this process, or with --device cpu two trainings side by side on the processor.
std::vector<DeviceRow> devices_of(const std::string& device) {
  if (device == "cpu") return {2, {.device = "cpu", .name = describe_cpu(1).model, .gpu = false}};
  std::vector<DeviceRow> rows;
  for (const GpuInfo& gpu : all_gpus())
    rows.push_back({.device = fmt::format("cuda:{}", gpu.index), .name = gpu.name, .bus_id = gpu.pci_bus_id});
  return rows;
}

void require_meaning(const FleetOptions& options) {
  if (options.device != "auto" && options.device != "cpu")
    throw UsageError(fmt::format("--all --device {}: auto for every GPU, or cpu", options.device));
  if (!std::isfinite(options.minutes))
    throw UsageError(fmt::format("--minutes {}: a time in minutes is a number", options.minutes));
}

void note_xids(bool before, std::vector<DeviceRow>* rows) {
  const std::optional<std::string> log = read_kernel_log();
  if (!log) return;
  for (DeviceRow& row : *rows) {
    if (row.bus_id.empty()) continue;
    const int count = count_xids(*log, row.bus_id);
    if (!before) row.new_xids = std::max(0, count - row.xids.value_or(count));
    row.xids = count;
  }
}

// Says why there is no GPU to test, as the checklist does.
FleetOutcome refuse_fleet(const GpuProbe& probe, const Nvml& nvml, bool json) {
  Facts facts;
  facts.require_gpu = true;
  facts.gpu = gather_gpu(probe, nvml, 0);
  std::vector<Check> checks = check_all(facts);
  std::erase_if(checks, [](const Check& check) { return check.name != "GPU"; });
  return {json ? report_json(facts, checks).dump(2) + "\n" : report_text(facts, checks),
          exit_status(class_of(checks))};
}

// The trainings and measurements, each a process whose output is in files.
struct Fleet {
  using Processes = std::vector<std::unique_ptr<Process>>;

  const FleetOptions& options;
  const Nvml& nvml;
  ScratchFolder scratch = {};
  SignalGuard signals = {};

  // Notes what holds the GPUs back while all of them train.
  void poll(std::vector<DeviceRow>* rows) const {
    for (DeviceRow& row : *rows) {
      if (row.bus_id.empty()) continue;
      GpuInfo gpu;
      gpu.pci_bus_id = row.bus_id;
      nvml.read(&gpu);
      const GpuSensors& sensors = gpu.sensors;
      for (const std::string& reason : sensors.throttle_reasons.value_or(std::vector<std::string>{})) {
        const bool known = std::ranges::find(row.held_back, reason) != row.held_back.end();
        if (!known && reason != "idle") row.held_back.push_back(reason);
      }
      const int clock = sensors.sm_clock_mhz.value_or(0);
      if (clock > 0 && sensors.utilisation_percent.value_or(0) > 50)
        row.lowest_clock_mhz = std::min(row.lowest_clock_mhz.value_or(clock), clock);
    }
  }

  void say(const std::string& line) const {
    if (!options.json) std::fputs((line + "\n").c_str(), stderr);
  }

  std::unique_ptr<Process> start(const DeviceRow& row, std::vector<std::string> words,
                                 const std::string& name) const {
    words.insert(words.begin(), options.program.string());
    words.insert(words.begin() + 2, {"--device", row.device, "--json"});
    if (!options.data.empty()) words.insert(words.end(), {"--data", options.data});
    ProcessCall call;
    call.words = std::move(words);
    call.out_file = scratch.path() / (name + ".out");
    call.err_file = scratch.path() / (name + ".err");
    return std::make_unique<Process>(call);
  }

  // Waits until all have ended. If one takes a minute more than ten times what the first took, it hangs and is killed.
  void wait_for(const Processes& processes, std::vector<DeviceRow>* rows) const {
    constexpr std::chrono::milliseconds kPollInterval{50};
    constexpr int kPollsBetweenReadings = 10;
    const Clock::time_point start = Clock::now();
    double patience = options.patience_seconds;
    for (int polls = 0;; ++polls) {
      const auto ended =
          std::ranges::count_if(processes, [](const auto& process) { return process->has_ended(); });
      if (ended == static_cast<std::ptrdiff_t>(processes.size())) return;
      if (ended > 0) patience = std::min(patience, 60 + 10 * seconds_since(start));
      if (signals.stop_signal() != 0 || seconds_since(start) > patience) break;
      if (polls % kPollsBetweenReadings == 0) poll(rows);
      std::this_thread::sleep_for(kPollInterval);
    }
    for (const auto& process : processes) process->finish();
  }

  // The last line of its standard error that is not empty, or how it ended.
  std::string end_text(const ProcessEnd& end, const std::string& name) const {
    if (end.signal != 0) return fmt::format("it died of signal {}", end.signal);
    std::istringstream lines(contents_of(scratch.path() / (name + ".err")));
    std::string last;
    for (std::string line; std::getline(lines, line);)
      if (!line.empty()) last = line;
    return last.empty() ? fmt::format("exit status {}", end.code) : last;
  }

  TrainingOutcome outcome_of(const ProcessEnd& end, const std::string& name) const {
    if (end.code != 0) return {.error = end_text(end, name)};
    const fs::path folder = scratch.path() / name;
    try {
      const RunRecord record = read_run_record(folder / kRunRecordName);
      return {"", record.results.at("epoch_seconds").at("median"), weights_sha256(folder / kModelName)};
    } catch (const FileError& error) {
      return {.error = error.what()};
    } catch (const nlohmann::json::exception& error) {
      return {.error = fmt::format("its record tells no time: {}", error.what())};
    }
  }

  void train_all(std::vector<DeviceRow>* rows) const {
    Processes processes;
    const auto name_of = [](std::size_t i) { return fmt::format("device-{}", i); };
    for (const DeviceRow& row : *rows) {
      const fs::path folder = scratch.path() / name_of(processes.size());
      std::error_code ignored;
      fs::remove_all(folder, ignored);
      std::vector<std::string> words{
          "train", "--model", options.model,        "--seed", std::to_string(options.seed),
          "--out", folder,    "--checkpoint-every", "0"};
      if (!row.gpu)
        words.insert(words.end(), {"--threads", std::to_string(std::max(1, describe_cpu(1).cores / 2))});
      processes.push_back(start(row, std::move(words), name_of(processes.size())));
    }
    wait_for(processes, rows);
    if (signals.stop_signal() != 0) return;
    for (std::size_t i = 0; i < rows->size(); ++i)
      (*rows)[i].trainings.push_back(outcome_of(processes[i]->end(), name_of(i)));
  }

  void measure(DeviceRow* row) const {
    const std::string name = "measurement";
    Processes process;
    process.push_back(start(*row, {"doctor"}, name));
    std::vector<DeviceRow> none;
    wait_for(process, &none);
    if (signals.stop_signal() != 0) return;
    try {
      const auto report = nlohmann::ordered_json::parse(contents_of(scratch.path() / (name + ".out")));
      row->speed = report.at("speed");
      if (row->speed.is_null()) row->speed_error = first_cause(report);
    } catch (const nlohmann::json::exception&) {
      row->speed_error = end_text(process.front()->end(), name);
    }
  }

  void run(std::vector<DeviceRow>* rows) {
    constexpr int kFewestRounds = 2;
    const Clock::time_point started = Clock::now();
    for (DeviceRow& row : *rows) {
      if (signals.stop_signal() != 0) return;
      say(row.device + ": measuring its speed");
      measure(&row);
    }
    for (int round = 1; round <= kFewestRounds || seconds_since(started) < 60 * options.minutes; ++round) {
      if (signals.stop_signal() != 0) return;
      say(fmt::format("round {}: all train at once", round));
      train_all(rows);
    }
  }
};

}  // namespace

int train_fleet(const FleetOptions& options, const Nvml& nvml, std::vector<DeviceRow>* rows) {
  Fleet fleet{options, nvml};
  fleet.run(rows);
  return fleet.signals.stop_signal();
}

FleetOutcome test_fleet(const Environment& environment, const FleetOptions& options) {
  const Nvml nvml;
  require_meaning(options);
  std::vector<DeviceRow> rows = devices_of(options.device);
  if (rows.empty()) return refuse_fleet(*open_gpu_probe(), nvml, options.json);
  FleetOptions with_program = options;
  with_program.program = environment.executable;
  note_xids(true, &rows);
  if (const int stopped = train_fleet(with_program, nvml, &rows); stopped != 0) return {"", 128 + stopped};
  note_xids(false, &rows);
  const std::vector<Check> findings = judge(rows);
  return {options.json ? fleet_json(rows, findings).dump(2) + "\n" : fleet_text(rows, findings),
          findings.empty() ? 0 : 1};
}

}  // namespace trainer::doctor
