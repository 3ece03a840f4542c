// trainer doctor --all: every device trains the same seed at the same time, again and again, in ordinary runs of this very
// program, so that a crash or a hang is a finding. Equal devices must end with the same bits, so one that does not is broken,
// however healthy it looks; and one that is slower than its equals is held back by something. The judgement is a pure function of
// the rows, so that tests can make them up.
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
  std::string error = {};    // a complete line; empty: it trained
  double seconds = 0;        // of an epoch
  std::string weights = {};  // the final ones: SHA-256 of every tensor's name, shape and bytes
};

struct DeviceRow {
  std::string device;                           // as --device takes it
  std::string name;                             // rows with the same name are compared
  bool gpu = true;                              // GPUs' speeds are compared too; trainings on a CPU share it
  std::string bus_id = {};                      // on the PCI bus; empty if it is not a GPU
  std::vector<TrainingOutcome> trainings = {};  // one per round
  nlohmann::ordered_json speed = nullptr;       // as in trainer doctor --json, with the other devices idle
  std::string speed_error = {};
  std::vector<std::string> held_back = {};   // throttle reasons seen while all trained
  std::optional<int> lowest_clock_mhz = {};  // seen while all trained
  std::optional<int> xids = {};              // faults in the kernel's log; nothing: the log may not be read
  int new_xids = 0;                          // since the test began
};

// A problem for each device that stands out; none if all are alike and healthy.
std::vector<Check> judge(const std::vector<DeviceRow>& rows);

// A check for each device, then the findings, then whether all are healthy; and the same as JSON.
std::string fleet_text(const std::vector<DeviceRow>& rows, const std::vector<Check>& findings);
nlohmann::ordered_json fleet_json(const std::vector<DeviceRow>& rows, const std::vector<Check>& findings);

double median_seconds(const DeviceRow& row);  // of an epoch; 0 if no training succeeded
// How much slower than the fastest of the same name, 0.1 for 10 %; 0 if it is the fastest or the only one.
double slowdown(const DeviceRow& row, const std::vector<DeviceRow>& rows);

// How many faults of a GPU the kernel logged ("NVRM: Xid (PCI:0000:c1:00): 79, ..."). The log leaves out the function that
// `bus_id` ends with: "0000:c1:00.0".
int count_xids(const std::string& kernel_log, const std::string& bus_id);

struct FleetOptions {
  std::string device = "auto";  // every GPU; or cpu: two trainings side by side on the processor
  std::string model = "quick";  // with its own recipe
  std::string data = {};        // empty: TRAINER_DATA or the shipped MNIST
  std::uint64_t seed = 1;
  double minutes = 1;  // new rounds begin until then; at least two
  bool json = false;
  std::filesystem::path program = {};  // this program
  double patience_seconds = 600;       // for a round's first training to end
};

struct FleetOutcome {
  std::string text;  // for standard output; each line ends in a newline
  int status = 0;    // 1 if something stands out, 128 + signal, or the failure class if there is no GPU
};

// Progress goes to standard error. Throws UsageError.
FleetOutcome test_fleet(const Environment& environment, const FleetOptions& options);

// Fills in the rows: the speed of each device by itself, then round after round on all of them. Returns 0, or at once the signal
// that asked for a stop.
int train_fleet(const FleetOptions& options, const Nvml& nvml, std::vector<DeviceRow>* rows);

}  // namespace trainer::doctor
