// Steps captured once and replayed: one graph of a single step, and one of many for the long way, since a
// launch costs the host and the device a few microseconds however much it holds. A step's number lives on the
// device, so the copies in a graph are all alike.
#pragma once

#include <array>
#include <cstddef>
#include <functional>

#include "kernels/backend.hpp"
#include "kernels/cuda/runtime_handles.hpp"

namespace trainer::cuda {

// Steps of the long graph: enough to hide a launch behind them, few enough for the host to look around
// between launches.
constexpr std::uint64_t kStepsALaunch = 16;

// Launches whose end nobody has seen yet. The events are made once: a launch makes nothing.
class Flight {
 public:
  Flight();
  void took_off(cudaStream_t stream);
  bool busy();  // true while kMost are in the air
  void landed() { in_air_ = 0; }

 private:
  static constexpr std::size_t kMost = 4;
  std::array<Event, kMost> events_;
  std::size_t oldest_ = 0;
  std::size_t in_air_ = 0;
};

class CudaRecording final : public Recording {
 public:
  // Captures `step` on `stream`; nothing of it runs. Throws CudaError.
  CudaRecording(cudaStream_t stream, Flight& flight, const std::function<void()>& step);
  void launch(std::uint64_t steps) override;
  std::size_t nodes() const override { return nodes_; }

 private:
  cudaStream_t stream_;
  Flight& flight_;
  std::size_t nodes_ = 0;
  GraphExec one_, many_;
};

}  // namespace trainer::cuda
