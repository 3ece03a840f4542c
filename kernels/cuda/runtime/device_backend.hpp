// What the GPU engines have in common: one device and one stream, on which everything runs in the order in which it was launched,
// memory of the device, and recordings that are graphs.
#pragma once

#include "kernels/backend.hpp"
#include "kernels/cuda/runtime/handle.hpp"
#include "kernels/cuda/runtime/launch.hpp"
#include "kernels/cuda/runtime/recording.hpp"

namespace trainer::cuda {

class DeviceBackend : public Backend {
 public:
  Buffer allocate(std::size_t bytes, std::string_view what) override;
  Buffer make_resident(const void* data, std::size_t bytes, std::string_view what) override;
  void upload(std::byte* to, const void* from, std::size_t bytes) override;
  void download(void* to, const std::byte* from, std::size_t bytes) override;

  std::unique_ptr<Recording> record(std::vector<RepeatedStep> sequence) override {
    return std::make_unique<CudaRecording>(stream_.get(), in_flight_, sequence);
  }
  std::uint64_t repeats_per_launch() const override { return kStepsALaunch; }
  bool runs_ahead() const override { return true; }
  bool busy() const override;
  std::unique_ptr<Stopwatch> stopwatch() override { return std::make_unique<EventStopwatch>(stream_.get()); }
  void wait() override;

 protected:
  explicit DeviceBackend(int device);
  // Calls `check` again and again while the host waits for the device; what it throws ends the wait.
  void watch(std::function<void()> check) { watch_ = std::move(check); }

  int device() const { return device_; }
  cudaStream_t stream() const { return stream_.get(); }

 private:
  void copy_to_device(std::byte* to, const void* from, std::size_t bytes);

  int device_;
  Stream stream_;
  mutable InFlight in_flight_;
  std::function<void()> watch_;
};

}  // namespace trainer::cuda
