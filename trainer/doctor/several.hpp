// trainer doctor --all: every device trains the same seed at the same time, again and again. Equal devices
// must end with the same bits, so one that does not is broken, however healthy it looks; and one that is
// slower than its equals is held back by something. What the devices do is behind an interface, and the
// judgement is a pure function of the rows, so that tests play them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trainer/doctor/facts.hpp"

namespace trainer::doctor {

// One training of one device.
struct TrainingOutcome {
  std::string error;    // complete line; empty: it trained
  double seconds = 0;   // of an epoch
  std::string weights;  // what it ended with: SHA-256 of every tensor's name, shape and bytes
};

struct DeviceRow {
  std::string device;  // as --device takes it
  std::string name;    // rows of one name are compared
  bool gpu = true;     // and held to each other's speed; several trainings on one processor share it
  std::vector<TrainingOutcome> trainings = {};  // one a round
  std::optional<SpeedFacts> speed = {};         // measured with the other devices at rest
  std::string speed_error = {};
  std::vector<std::string> held_back = {};   // throttle reasons seen while all trained
  std::optional<int> lowest_clock_mhz = {};  // likewise
  std::optional<int> xids = {};              // in the kernel's log; nothing: it may not be read
  int new_xids = 0;                          // since the test began
};

// What --all needs of the world.
class Devices {
 public:
  virtual ~Devices() = default;
  // Trains once on every row's device at the same time; appends an outcome to each, in whatever way it ended.
  virtual void train_all(std::vector<DeviceRow>* rows) = 0;
  virtual void measure(DeviceRow* row) = 0;  // fills in its speed
  virtual bool asked_to_stop() const = 0;
  virtual double seconds() const = 0;  // since the test began
};

struct SeveralSettings {
  double seconds = 60;  // rounds begin until then, two at least
  std::function<void(const std::string&)> say = [](const std::string&) {};  // a line of progress
};

void test_devices(const SeveralSettings& settings, Devices& devices, std::vector<DeviceRow>* rows);

// Each one a line about a device that stands out: "cuda:1 ...". None: all are alike and healthy.
std::vector<std::string> judge(const std::vector<DeviceRow>& rows);

double median_seconds(const DeviceRow& row);  // of an epoch; 0 where none ended well
// How much slower than the fastest of its name, 0.1 for 10 %; 0 where it is the fastest or alone.
double slowdown(const DeviceRow& row, const std::vector<DeviceRow>& rows);

// Faults that the kernel logged ("NVRM: Xid (PCI:0000:c1:00): 79, ..."), by PCI bus id without its function:
// "0000:c1:00".
std::map<std::string, int> count_xids(const std::string& kernel_log);

}  // namespace trainer::doctor
