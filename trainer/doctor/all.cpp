#include "trainer/doctor/all.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>
#include <unistd.h>

#include "kernels/backend.hpp"
#include "trainer/doctor/gather.hpp"
#include "trainer/doctor/report.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/store/safetensors.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer::doctor {

namespace fs = std::filesystem;

namespace {

// Of names, shapes and bytes alone: times and versions stand beside them in the file.
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

// What holds the GPUs back while all of them train.
void poll(const Nvml& nvml, std::vector<DeviceRow>* rows) {
  for (DeviceRow& row : *rows) {
    if (row.bus_id.empty()) continue;
    const GpuSensors sensors = nvml.read(row.bus_id).sensors;
    for (const std::string& reason : sensors.throttle_reasons.value_or(std::vector<std::string>{})) {
      const bool known = std::ranges::find(row.held_back, reason) != row.held_back.end();
      if (!known && reason != "idle") row.held_back.push_back(reason);
    }
    const int clock = sensors.sm_clock_mhz.value_or(0);
    if (clock > 0 && sensors.utilisation_percent.value_or(0) > 50)
      row.lowest_clock_mhz = std::min(row.lowest_clock_mhz.value_or(clock), clock);
  }
}

// As far as this process may read it; empty where it may not.
std::optional<std::string> read_kernel_log() {
  const int file = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::string log;
  std::array<char, 8192> record{};  // a read gives one; EPIPE: some were overwritten meanwhile
  for (;;) {
    const ssize_t got = read(file, record.data(), record.size());
    if (got < 0 && errno != EPIPE && errno != EINTR) break;
    if (got == 0) break;
    if (got > 0) log.append(record.data(), static_cast<std::size_t>(got));
  }
  close(file);
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

void require_meaning(const AllOptions& options) {
  if (options.device != "auto" && options.device != "cpu")
    throw UsageError(fmt::format("--all --device {}: auto for every GPU, or cpu", options.device));
  if (!std::isfinite(options.minutes))
    throw UsageError(fmt::format("--minutes {}: a time in minutes is a number", options.minutes));
}

void note_xids(bool before, std::vector<DeviceRow>* rows) {
  const std::optional<std::string> log = read_kernel_log();
  if (!log) return;
  const std::map<std::string, int> counts = count_xids(*log);
  for (DeviceRow& row : *rows) {
    if (row.bus_id.empty()) continue;
    const auto found = counts.find(row.bus_id.substr(0, row.bus_id.find('.')));
    const int count = found == counts.end() ? 0 : found->second;
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

void DevicesTest::say(const std::string& line) const {
  if (!options_.json) std::fputs((line + "\n").c_str(), stderr);
}

std::unique_ptr<Process> DevicesTest::start(const DeviceRow& row, std::vector<std::string> words,
                                            const std::string& name) const {
  words.insert(words.begin(), options_.program.string());
  words.insert(words.begin() + 2, {"--device", row.device, "--json"});
  if (!options_.data.empty()) words.insert(words.end(), {"--data", options_.data});
  ProcessCall call;
  call.words = std::move(words);
  call.out_file = scratch_.path() / (name + ".out");
  call.err_file = scratch_.path() / (name + ".err");
  return std::make_unique<Process>(call);
}

// Until all have ended. One that takes ten times as long as the first, and a minute, hangs and is ended.
void DevicesTest::wait_for(const Processes& processes, std::vector<DeviceRow>* rows) const {
  constexpr std::chrono::milliseconds kPollInterval{50};
  constexpr int kPollsBetweenReadings = 10;
  const Clock::time_point start = Clock::now();
  double patience = options_.patience_seconds;
  for (int polls = 0;; ++polls) {
    const auto ended =
        std::ranges::count_if(processes, [](const auto& process) { return process->has_ended(); });
    if (ended == static_cast<std::ptrdiff_t>(processes.size())) return;
    if (ended > 0) patience = std::min(patience, 60 + 10 * seconds_since(start));
    if (stop_signal() != 0 || seconds_since(start) > patience) break;
    if (polls % kPollsBetweenReadings == 0) poll(nvml_, rows);
    std::this_thread::sleep_for(kPollInterval);
  }
  for (const auto& process : processes) process->finish();
}

// The last line of standard error that says anything, or how it ended.
std::string DevicesTest::end_text(const ProcessEnd& end, const std::string& name) const {
  if (end.signal != 0) return fmt::format("it died of signal {}", end.signal);
  std::istringstream lines(contents_of(scratch_.path() / (name + ".err")));
  std::string last;
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) last = line;
  return last.empty() ? fmt::format("exit status {}", end.code) : last;
}

TrainingOutcome DevicesTest::outcome_of(const ProcessEnd& end, const std::string& name) const {
  if (end.code != 0) return {.error = end_text(end, name)};
  const fs::path folder = scratch_.path() / name;
  try {
    const RunRecord record = read_run_record(folder / kRunRecordName);
    return {"", record.results.at("epoch_seconds").at("median"), weights_sha256(folder / kModelName)};
  } catch (const FileError& error) {
    return {.error = error.what()};
  } catch (const nlohmann::json::exception& error) {
    return {.error = fmt::format("its record tells no time: {}", error.what())};
  }
}

void DevicesTest::train_all(std::vector<DeviceRow>* rows) const {
  Processes processes;
  const auto name_of = [](std::size_t i) { return fmt::format("device-{}", i); };
  for (const DeviceRow& row : *rows) {
    const fs::path folder = scratch_.path() / name_of(processes.size());
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    std::vector<std::string> words{
        "train", "--model", options_.model,       "--seed", std::to_string(options_.seed),
        "--out", folder,    "--checkpoint-every", "0"};
    if (!row.gpu)
      words.insert(words.end(), {"--threads", std::to_string(std::max(1, describe_cpu(1).cores / 2))});
    processes.push_back(start(row, std::move(words), name_of(processes.size())));
  }
  wait_for(processes, rows);
  if (stop_signal() != 0) return;
  for (std::size_t i = 0; i < rows->size(); ++i)
    (*rows)[i].trainings.push_back(outcome_of(processes[i]->end(), name_of(i)));
}

void DevicesTest::measure(DeviceRow* row) const {
  const std::string name = "measurement";
  Processes process;
  process.push_back(start(*row, {"doctor"}, name));
  std::vector<DeviceRow> none;
  wait_for(process, &none);
  if (stop_signal() != 0) return;
  try {
    const auto report = nlohmann::ordered_json::parse(contents_of(scratch_.path() / (name + ".out")));
    row->speed = report.at("speed");
    if (row->speed.is_null()) row->speed_error = first_cause(report);
  } catch (const nlohmann::json::exception&) {
    row->speed_error = end_text(process.front()->end(), name);
  }
}

void DevicesTest::run(std::vector<DeviceRow>* rows) {
  constexpr int kFewestRounds = 2;
  const Clock::time_point started = Clock::now();
  for (DeviceRow& row : *rows) {
    if (stop_signal() != 0) return;
    say(row.device + ": measuring its speed");
    measure(&row);
  }
  for (int round = 1; round <= kFewestRounds || seconds_since(started) < 60 * options_.minutes; ++round) {
    if (stop_signal() != 0) return;
    say(fmt::format("round {}: all train at once", round));
    train_all(rows);
  }
}

AllOutcome test_all(const Environment& environment, const AllOptions& options) {
  const Nvml nvml;
  require_meaning(options);
  std::vector<DeviceRow> rows = devices_of(options.device);
  if (rows.empty()) return refuse_all(*open_gpu_probe(), nvml, options.json);
  AllOptions with_program = options;
  with_program.program = environment.executable;
  DevicesTest test(with_program, nvml);
  note_xids(true, &rows);
  test.run(&rows);
  if (test.stop_signal() != 0) return {"", 128 + test.stop_signal()};
  note_xids(false, &rows);
  const std::vector<Check> findings = judge(rows);
  return {options.json ? several_json(rows, findings).dump(2) + "\n" : several_text(rows, findings),
          findings.empty() ? 0 : 1};
}

}  // namespace trainer::doctor
