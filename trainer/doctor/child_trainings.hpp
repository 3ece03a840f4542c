// The devices of trainer doctor --all as they are: each training and each measurement is this very program in
// a process of its own, so that a crash or a hang is a row of the table.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "kernels/gpu_host/nvml.hpp"
#include "trainer/doctor/several.hpp"
#include "trainer/system/process.hpp"
#include "trainer/system/scratch_folder.hpp"
#include "trainer/system/signals.hpp"

namespace trainer::doctor {

struct TrainingOrder {
  std::filesystem::path program;  // the trainer
  std::string model = "quick";    // with its own recipe
  std::string data = {};          // as --data; empty: the program's choice
  std::uint64_t seed = 1;
  int threads = 1;                // of a training on the CPU
  double patience_seconds = 600;  // for a training, of which none of its round has ended yet
};

// One of them, its output in files, so that whatever happens to it is an outcome and not this program's end.
struct Child {
  explicit Child(const ProcessCall& call) : process(call), out(call.out_file), error(call.err_file) {}
  Process process;
  std::filesystem::path out;
  std::filesystem::path error;
};

class ChildTrainings : public Devices {
 public:
  // `nvml` outlives this. `bus_ids`: the rows' devices on the PCI bus, empty for what is no GPU.
  ChildTrainings(TrainingOrder order, const Nvml& nvml, std::vector<std::string> bus_ids);

  void train_all(std::vector<DeviceRow>* rows) override;
  void measure(DeviceRow* row) override;
  bool asked_to_stop() const override { return signals_.stop_signal() != 0; }
  double seconds() const override;
  int stop_signal() const { return signals_.stop_signal(); }

 private:
  std::unique_ptr<Child> start(const std::vector<std::string>& arguments, const std::string& name) const;
  std::unique_ptr<Child> start_training(const DeviceRow& row, const std::string& name) const;
  TrainingOutcome outcome_of(const Child& child, const std::string& name) const;
  void wait_for(std::vector<std::unique_ptr<Child>>& children, std::vector<DeviceRow>* rows);
  void glance(std::vector<DeviceRow>* rows) const;

  TrainingOrder order_;
  const Nvml& nvml_;
  std::vector<std::string> bus_ids_;
  ScratchFolder scratch_;
  SignalGuard signals_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

// The kernel's log, as far as this process may read it; empty where it may not.
std::optional<std::string> read_kernel_log();

}  // namespace trainer::doctor
