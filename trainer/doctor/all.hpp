// trainer doctor --all: every device trains the same seed at the same time, in ordinary runs of this very program, so that a
// crash or a hang is a row of what several.hpp judges.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "kernels/gpu_host/nvml.hpp"
#include "trainer/doctor/several.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/process.hpp"
#include "trainer/system/signals.hpp"

namespace trainer::doctor {

struct AllOptions {
  std::string device = "auto";  // every GPU; or cpu: two trainings side by side on the processor
  std::string model = "quick";  // with its own recipe
  std::string data = {};        // empty: TRAINER_DATA or the shipped MNIST
  std::uint64_t seed = 1;
  double minutes = 1;  // rounds begin until then, two at least
  bool json = false;
  std::filesystem::path program = {};  // the trainer
  double patience_seconds = 600;       // for a training, of which none of its round has ended yet
};

struct AllOutcome {
  std::string text;  // for standard output, its lines ended
  int status = 0;    // 1 where something stands out, 128 + signal, or the class of why there is no GPU
};

// Progress goes to standard error. Throws UsageError.
AllOutcome test_all(const Environment& environment, const AllOptions& options);

// The trainings and measurements, each a process whose output is in files.
class DevicesTest {
 public:
  DevicesTest(AllOptions options, const Nvml& nvml) : options_(std::move(options)), nvml_(nvml) {}

  // Fills in the rows: the speed of each device by itself, then round after round on all of them.
  void run(std::vector<DeviceRow>* rows);
  [[nodiscard]] int stop_signal() const { return signals_.stop_signal(); }

 private:
  using Processes = std::vector<std::unique_ptr<Process>>;
  std::unique_ptr<Process> start(const DeviceRow& row, std::vector<std::string> words,
                                 const std::string& name) const;
  void wait_for(const Processes& processes, std::vector<DeviceRow>* rows) const;
  void measure(DeviceRow* row) const;
  void train_all(std::vector<DeviceRow>* rows) const;
  [[nodiscard]] TrainingOutcome outcome_of(const ProcessEnd& end, const std::string& name) const;
  [[nodiscard]] std::string end_text(const ProcessEnd& end, const std::string& name) const;
  void say(const std::string& line) const;

  AllOptions options_;
  const Nvml& nvml_;
  ScratchFolder scratch_;
  SignalGuard signals_;
};

}  // namespace trainer::doctor
