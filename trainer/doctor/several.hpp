// Who stands out among devices that trained the same seed at the same time, again and again. Equal devices must end
// with the same bits, so one that does not is broken, however healthy it looks; and one that is slower than its equals
// is held back by something. The judgement is a pure function of the rows (all.hpp fills them), so that tests play them.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/console/check.hpp"

namespace trainer::doctor {

// One training of one device.
struct TrainingOutcome {
  std::string error = {};    // complete line; empty: it trained
  double seconds = 0;        // of an epoch
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
  std::optional<int> lowest_clock_mhz = {};  // likewise
  std::optional<int> xids = {};              // in the kernel's log; nothing: it may not be read
  int new_xids = 0;                          // since the test began
};

// Each one a problem of a device that stands out. None: all are alike and healthy.
std::vector<Check> judge(const std::vector<DeviceRow>& rows);

// A check a device, then the findings, then whether all are healthy; and the same as JSON.
std::string several_text(const std::vector<DeviceRow>& rows, const std::vector<Check>& findings);
nlohmann::ordered_json several_json(const std::vector<DeviceRow>& rows, const std::vector<Check>& findings);

double median_seconds(const DeviceRow& row);  // of an epoch; 0 where none ended well
// How much slower than the fastest of its name, 0.1 for 10 %; 0 where it is the fastest or alone.
double slowdown(const DeviceRow& row, const std::vector<DeviceRow>& rows);

// Faults that the kernel logged ("NVRM: Xid (PCI:0000:c1:00): 79, ..."), by PCI bus id without its function:
// "0000:c1:00".
std::map<std::string, int> count_xids(const std::string& kernel_log);

}  // namespace trainer::doctor
