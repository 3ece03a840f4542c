// trainer doctor --all: every device trains the same seed at the same time, again and again, in ordinary runs of this very
// program, so that a crash or a hang is a finding. Equal devices must end with the same bits, so one that does not is broken,
// however healthy it looks; and one that is slower than its equals is held back by something. The judgement is a pure function of
// the rows, so that tests play them.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/gpu_host/nvml.hpp"
#include "trainer/console/check.hpp"
#include "trainer/store/environment.hpp"

namespace trainer::doctor {

// One training of one device.
struct TrainingOutcome {
  std::string error = {};    // complete line; empty: it trained
  double seconds = 0;        // for an epoch
  std::string weights = {};  // what it ended with: SHA-256 of every tensor's name, shape and bytes
};

struct DeviceRow {
  std::string device;       // as --device takes it
  std::string name;         // rows of one name are compared
  bool gpu = true;          // and held to each other's speed; several trainings on one processor share it
  std::string bus_id = {};  // on the PCI bus; empty for what is no GPU
  std::vector<TrainingOutcome> trainings = {};  // one a round
  nlohmann::ordered_json speed = nullptr;       // as trainer doctor --json has it, the other devices at rest
  std::string speed_error = {};
  std::vector<std::string> held_back = {};   // throttle reasons seen while all trained
  std::optional<int> lowest_clock_mhz = {};  // seen while all trained
  std::optional<int> xids = {};              // faults in the kernel's log; nothing: it may not be read
  int new_xids = 0;                          // since the test began
};

// Each one a problem of a device that stands out. None: all are alike and healthy.
std::vector<Check> judge(const std::vector<DeviceRow>& rows);

// A check a device, then the findings, then whether all are healthy; and the same as JSON.
std::string fleet_text(const std::vector<DeviceRow>& rows, const std::vector<Check>& findings);
nlohmann::ordered_json fleet_json(const std::vector<DeviceRow>& rows, const std::vector<Check>& findings);

double median_seconds(const DeviceRow& row);  // for an epoch; 0 where no training ended well
// How much slower than the fastest of its name, 0.1 for 10 %; 0 where it is the fastest or alone.
double slowdown(const DeviceRow& row, const std::vector<DeviceRow>& rows);

// How many faults of a GPU the kernel logged ("NVRM: Xid (PCI:0000:c1:00): 79, ..."). The log leaves out the function that
// `bus_id` ends with: "0000:c1:00.0".
int count_xids(const std::string& kernel_log, const std::string& bus_id);

struct FleetOptions {
  std::string device = "auto";  // every GPU; or cpu: two trainings side by side on the processor
  std::string model = "quick";  // with its own recipe
  std::string data = {};        // empty: TRAINER_DATA or the shipped MNIST
  std::uint64_t seed = 1;
  double minutes = 1;  // rounds begin until then, two at least
  bool json = false;
  std::filesystem::path program = {};  // the trainer
  double patience_seconds = 600;       // with a round of which no training has ended yet
};

struct FleetOutcome {
  std::string text;  // for standard output, its lines ended
  int status = 0;    // 1 where something stands out, 128 + signal, or the class of why there is no GPU
};

// Progress goes to standard error. Throws UsageError.
FleetOutcome test_fleet(const Environment& environment, const FleetOptions& options);

// Fills in the rows: the speed of each device by itself, then round after round on all of them. Gives the signal that asked for a
// stop, at once, or 0.
int train_fleet(const FleetOptions& options, const Nvml& nvml, std::vector<DeviceRow>* rows);

}  // namespace trainer::doctor
