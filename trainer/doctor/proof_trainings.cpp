// The trainings and measurements of trainer doctor --prove, each a process of its own.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <sys/klog.h>
#include <thread>

#include "kernels/backend.hpp"
#include "trainer/doctor/proof.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/process.hpp"
#include "trainer/system/signals.hpp"

namespace trainer::doctor {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

std::string contents_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The last line that is not empty.
std::string last_line(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return text.substr(text.rfind('\n') + 1);
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

// What a training printed at its end ("event": "end"), or why there is none.
struct Ended {
  std::string error = {};
  ordered_json end = nullptr;
};

ProofRun run_of(const Ended& ended) {
  if (!ended.error.empty()) return {.error = ended.error};
  try {
    const auto& end = ended.end;
    const auto seconds =
        end.contains("epoch_seconds") ? end["epoch_seconds"].at("median") : end.at("seconds");
    return {"", seconds.get<double>(),
            end.value("digest", "none: " + end.value("stopped_by", std::string("no reason")))};
  } catch (const nlohmann::json::exception& error) {
    return {.error = fmt::format("it printed no result: {}", error.what())};
  }
}

// What its command wrote is in files.
struct Trainings {
  using Processes = std::vector<std::unique_ptr<Process>>;

  const ProofOptions& options;
  const Nvml& nvml;
  Proof& proof;
  ScratchFolder scratch = {};
  SignalGuard signals = {};

  void read(Reading DeviceRow::*when) const {
    const std::optional<std::string> log = read_kernel_log();
    for (DeviceRow& row : proof.rows) {
      if (row.bus_id.empty()) continue;
      GpuInfo gpu;
      gpu.pci_bus_id = row.bus_id;
      nvml.read(&gpu);
      row.*when = {gpu.sensors, log ? std::optional(count_xids(*log, row.bus_id)) : std::nullopt};
    }
  }

  void say(const std::string& line) const {
    if (!options.json) std::fputs((line + "\n").c_str(), stderr);
  }

  std::unique_ptr<Process> start(const std::string& device, std::vector<std::string> words,
                                 const std::string& name) const {
    words.insert(words.begin(), options.program.string());
    words.insert(words.begin() + 2, {"--device", device, "--json"});
    ProcessCall call;
    call.words = std::move(words);
    call.out_file = scratch.path() / (name + ".out");
    call.err_file = scratch.path() / (name + ".err");
    return std::make_unique<Process>(call);
  }

  std::unique_ptr<Process> start_training(const std::string& device, const std::vector<std::string>& more,
                                          const std::string& name) const {
    std::vector<std::string> words{
        "train",  "--model",  proof.network, "--seed",    std::to_string(proof.seed),
        "--bits", "portable", "--data",      options.data};
    words.insert(words.end(), more.begin(), more.end());
    return start(device, std::move(words), name);
  }

  // Waits until all have ended. If one takes a minute more than ten times what the first took, it hangs and is killed.
  void wait_for(const Processes& processes) const {
    constexpr std::chrono::milliseconds kPollInterval{20};
    const Clock::time_point start = Clock::now();
    double patience = options.patience_seconds;
    while (true) {
      const auto ended =
          std::ranges::count_if(processes, [](const auto& process) { return process->has_ended(); });
      if (ended == std::ssize(processes)) return;
      if (ended > 0) patience = std::min(patience, 60 + 10 * seconds_since(start));
      if (signals.stop_signal() != 0 || seconds_since(start) > patience) break;
      std::this_thread::sleep_for(kPollInterval);
    }
    for (const auto& process : processes) process->finish();
  }

  // The last line of its standard error, or how it ended.
  std::string end_text(const ProcessEnd& end, const std::string& name) const {
    if (end.signal != 0) return fmt::format("it died of signal {}", end.signal);
    const std::string last = last_line(contents_of(scratch.path() / (name + ".err")));
    return last.empty() ? fmt::format("exit status {}", end.code) : last;
  }

  // A loss that is not finite ends a training with exit status 1 and a result that has no digest: a wrong one.
  Ended ended(const Process& process, const std::string& name) const {
    const auto result =
        ordered_json::parse(last_line(contents_of(scratch.path() / (name + ".out"))), nullptr, false);
    const bool whole = result.is_object() && result.contains("event") && result["event"] == "end";
    if (process.end().code != 0 && !(whole && process.end().code == 1 && !result.contains("digest")))
      return {.error = end_text(process.end(), name)};
    if (!whole) return {.error = "it printed no result"};
    return {"", result};
  }

  Ended train(const std::string& device, const std::vector<std::string>& more) const {
    const std::string name = "comparison";
    Processes process;
    process.push_back(start_training(device, more, name));
    wait_for(process);
    return ended(*process.front(), name);
  }

  void train_all() const {
    Processes processes;
    const auto name_of = [](std::size_t i) { return fmt::format("device-{}", i); };
    for (const DeviceRow& row : proof.rows)
      processes.push_back(start_training(row.device, {"--no-save"}, name_of(processes.size())));
    wait_for(processes);
    if (signals.stop_signal() != 0) return;
    for (std::size_t i = 0; i < processes.size(); ++i)
      proof.rows[i].runs.push_back(run_of(ended(*processes[i], name_of(i))));
  }

  void measure(DeviceRow* row) const {
    const std::string name = "measurement";
    Processes process;
    process.push_back(start(row->device, {"doctor"}, name));
    wait_for(process);
    if (signals.stop_signal() != 0) return;
    try {
      const auto report = ordered_json::parse(contents_of(scratch.path() / (name + ".out")));
      row->speed = report.at("speed");
      for (const ordered_json& check : report.at("checks")) {
        if (check.at("name") == "speed") row->speed_text = check.at("finding");
        if (row->speed.is_null() && row->speed_error.empty()) row->speed_error = check.value("cause", "");
      }
    } catch (const nlohmann::json::exception&) {
      row->speed_error = end_text(process.front()->end(), name);
    }
  }

  // A processor is compared with a device that is proven, if there is one; all others with the processor.
  std::string device_beside(const DeviceRow& row) const {
    for (const DeviceRow& other : proof.rows)
      if (row.device == "cpu" && verdict_of(other, proof) == Verdict::proven) return other.device;
    return "cpu";
  }

  // The checkpoint of a training up to `step`.
  SafetensorsFile state_after(std::uint64_t step, const std::string& device) const {
    const fs::path folder = scratch.path() / "state";
    fs::remove_all(folder);
    const Ended end =
        train(device, {"--checkpoint-every", "0", "--max-steps", std::to_string(step), "--out", folder});
    if (!end.error.empty()) throw FileError(fmt::format("{}: {}", device, end.error));
    return SafetensorsFile::read(folder / kCheckpointName);
  }

  void compare_values(const std::string& device, StepComparison* comparison) const {
    const SafetensorsFile should = state_after(comparison->step, comparison->beside);
    for (int trial = 0; trial < kTrials && comparison->tensors.empty(); ++trial)
      comparison->tensors = differing_tensors(state_after(comparison->step, device), should);
  }

  // Trains the device some more times, with a digest of each step, beside the same training on another device.
  void compare_steps(const std::string& device, StepComparison* comparison) const {
    const auto with_digests = [&](const std::string& of) {
      Ended end = train(of, {"--no-save", "--digest-every", "1"});
      if (!end.error.empty()) throw FileError(fmt::format("{}: {}", of, end.error));
      return end.end;
    };
    const ordered_json should = with_digests(comparison->beside);
    comparison->beside_proven = should.value("digest", "") == proof.digest;
    ordered_json first;  // the first digest that differs
    while (comparison->trainings < kTrials) {
      const ordered_json digests = with_digests(device).at("digests_by_step");
      ++comparison->trainings;
      const auto step = first_difference(digests, should.at("digests_by_step"));
      if (!step) continue;
      const ordered_json found = *step <= digests.size() ? digests.at(*step - 1) : ordered_json();
      if (comparison->differing++ == 0) first = found;
      if (found == first) ++comparison->same;
      if (comparison->step == 0) comparison->step = *step;
    }
    if (comparison->step > 0) compare_values(device, comparison);
  }

  StepComparison compare(const DeviceRow& row) const {
    StepComparison comparison{.beside = device_beside(row)};
    try {
      compare_steps(row.device, &comparison);
    } catch (const FileError& error) {
      comparison.error = error.what();
    } catch (const nlohmann::json::exception& error) {
      comparison.error = fmt::format("its digests cannot be read: {}", error.what());
    }
    return comparison;
  }

  bool go_on(int rounds, Clock::time_point started) const {
    constexpr int kRounds = 3;
    return options.minutes ? rounds == 0 || seconds_since(started) < 60 * *options.minutes : rounds < kRounds;
  }

  void run() {
    for (DeviceRow& row : proof.rows) {
      if (!options.speed || signals.stop_signal() != 0) continue;
      say(row.device + ": measuring its speed");
      measure(&row);
    }
    read(&DeviceRow::before);
    const Clock::time_point started = Clock::now();
    for (int round = 0; go_on(round, started) && signals.stop_signal() == 0; ++round) {
      say(fmt::format("round {}: all train at once", round + 1));
      train_all();
    }
    read(&DeviceRow::after);
    for (DeviceRow& row : proof.rows) {
      if (signals.stop_signal() != 0 || verdict_of(row, proof) != Verdict::wrong) continue;
      say(row.device + ": a wrong digest; training step by step beside another device");
      row.comparison = compare(row);
    }
  }

  static constexpr int kTrials = 3;
};

}  // namespace

int run_proof(const ProofOptions& options, const Nvml& nvml, Proof* proof) {
  Trainings trainings{options, nvml, *proof};
  trainings.run();
  return trainings.signals.stop_signal();
}

}  // namespace trainer::doctor
