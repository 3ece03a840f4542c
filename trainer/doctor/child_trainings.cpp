#include "trainer/doctor/child_trainings.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <unistd.h>

#include "trainer/doctor/report.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/store/safetensors.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer::doctor {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::milliseconds kGlance{50};

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

// The last line of standard error that says anything.
std::string last_error_line(const Child& child) {
  std::istringstream lines(contents_of(child.error));
  std::string last;
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) last = line;
  return last;
}

std::string end_text(const Child& child) {
  const ProcessEnd end = child.process.end();
  if (end.signal != 0) return fmt::format("it died of signal {}", end.signal);
  const std::string said = last_error_line(child);
  return said.empty() ? fmt::format("exit status {}", end.code) : said;
}

// The cause of the first problem in a report of trainer doctor.
std::string first_cause(const nlohmann::ordered_json& report) {
  for (const auto& check : report.at("checks"))
    if (check.at("state") == "problem") return check.at("cause").get<std::string>();
  return "it measured nothing";
}

}  // namespace

ChildTrainings::ChildTrainings(TrainingOrder order, const Nvml& nvml, std::vector<std::string> bus_ids)
    : order_(std::move(order)), nvml_(nvml), bus_ids_(std::move(bus_ids)) {}

double ChildTrainings::seconds() const {
  return seconds_since(begun_);
}

std::unique_ptr<Child> ChildTrainings::start(const std::vector<std::string>& arguments,
                                             const std::string& name) const {
  ProcessCall call;
  call.words = {order_.program.string()};
  call.words.insert(call.words.end(), arguments.begin(), arguments.end());
  call.out_file = scratch_.path() / (name + ".out");
  call.err_file = scratch_.path() / (name + ".err");
  call.last_signal = SIGKILL;  // one that hangs in the driver takes no other
  return std::make_unique<Child>(call);
}

std::unique_ptr<Child> ChildTrainings::start_training(const DeviceRow& row, const std::string& name) const {
  std::vector<std::string> words{"train",
                                 "--device",
                                 row.device,
                                 "--model",
                                 order_.model,
                                 "--seed",
                                 std::to_string(order_.seed),
                                 "--out",
                                 (scratch_.path() / name).string(),
                                 "--checkpoint-every",
                                 "0",
                                 "--json"};
  if (!order_.data.empty()) words.insert(words.end(), {"--data", order_.data});
  if (!row.gpu) words.insert(words.end(), {"--threads", std::to_string(order_.threads)});
  return start(words, name);
}

TrainingOutcome ChildTrainings::outcome_of(const Child& child, const std::string& name) const {
  TrainingOutcome outcome;
  const fs::path folder = scratch_.path() / name;
  try {
    if (child.process.end().code != 0) {
      outcome.error = end_text(child);
    } else {
      const RunRecord record = read_run_record(folder / kRunRecordName);
      outcome.seconds = record.results.at("epoch_seconds").at("median");
      outcome.weights = weights_sha256(folder / kModelName);
    }
  } catch (const FileError& error) {
    outcome.error = error.what();
  } catch (const nlohmann::json::exception& error) {
    outcome.error = fmt::format("its record tells no time: {}", error.what());
  }
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return outcome;
}

// What holds the GPUs back while all of them train.
void ChildTrainings::glance(std::vector<DeviceRow>* rows) const {
  for (std::size_t i = 0; i < rows->size() && i < bus_ids_.size(); ++i) {
    if (bus_ids_[i].empty()) continue;
    DeviceRow& row = (*rows)[i];
    const GpuSensors sensors = nvml_.read(bus_ids_[i]).sensors;
    for (const std::string& reason : sensors.throttle_reasons.value_or(std::vector<std::string>{})) {
      const bool known = std::ranges::find(row.held_back, reason) != row.held_back.end();
      if (!known && reason != "idle") row.held_back.push_back(reason);
    }
    const bool busy = sensors.utilisation_percent.value_or(0) > 50;
    if (busy && sensors.sm_clock_mhz)
      row.lowest_clock_mhz =
          std::min(row.lowest_clock_mhz.value_or(*sensors.sm_clock_mhz), *sensors.sm_clock_mhz);
  }
}

// Until all have ended. One that takes ten times as long as the first, and a minute, hangs and is ended.
void ChildTrainings::wait_for(std::vector<std::unique_ptr<Child>>& children, std::vector<DeviceRow>* rows) {
  constexpr int kGlancesBetweenReadings = 10;
  const Clock::time_point start = Clock::now();
  double patience = order_.patience_seconds;
  for (int glances = 0;; ++glances) {
    const auto ended =
        std::ranges::count_if(children, [](const auto& child) { return child->process.has_ended(); });
    if (ended == static_cast<std::ptrdiff_t>(children.size())) return;
    if (ended > 0) patience = std::min(patience, 60 + 10 * seconds_since(start));
    if (asked_to_stop() || seconds_since(start) > patience) break;
    if (glances % kGlancesBetweenReadings == 0) glance(rows);
    std::this_thread::sleep_for(kGlance);
  }
  for (const std::unique_ptr<Child>& child : children) child->process.finish();
}

void ChildTrainings::train_all(std::vector<DeviceRow>* rows) {
  std::vector<std::unique_ptr<Child>> children;
  const auto name_of = [](std::size_t i) { return fmt::format("device-{}", i); };
  for (std::size_t i = 0; i < rows->size(); ++i) children.push_back(start_training((*rows)[i], name_of(i)));
  wait_for(children, rows);
  if (asked_to_stop()) return;
  for (std::size_t i = 0; i < rows->size(); ++i)
    (*rows)[i].trainings.push_back(outcome_of(*children[i], name_of(i)));
}

void ChildTrainings::measure(DeviceRow* row) {
  std::vector<std::string> words{"doctor", "--device", row->device, "--json"};
  if (!order_.data.empty()) words.insert(words.end(), {"--data", order_.data});
  std::vector<std::unique_ptr<Child>> child;
  child.push_back(start(words, "measurement"));
  std::vector<DeviceRow> none;
  wait_for(child, &none);
  if (asked_to_stop()) return;
  try {
    const auto report = nlohmann::ordered_json::parse(contents_of(child.front()->out));
    if (report.at("speed").is_null()) {
      row->speed_error = first_cause(report);
    } else {
      row->speed = speed_from_json(report.at("speed"));
    }
  } catch (const nlohmann::json::exception&) {
    row->speed_error = end_text(*child.front());
  }
}

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

}  // namespace trainer::doctor
