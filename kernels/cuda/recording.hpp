// Steps captured once and replayed: one graph of a single step, and one of many for the long way, since a
// launch costs the host and the device a few microseconds however much it holds. A step's number lives on the
// device, so the copies in a graph are all alike.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>

#include "kernels/backend.hpp"
#include "kernels/cuda/runtime_handles.hpp"

namespace trainer::cuda {

// Steps of the long graph: enough to hide a launch behind them, few enough for the host to look around
// between launches.
constexpr std::uint64_t kStepsALaunch = 16;

// Launches whose end nobody has seen yet, oldest first.
class Flight {
 public:
  void took_off(cudaStream_t stream);
  bool busy();  // true while kMost or more are in the air
  void landed() { events_.clear(); }

 private:
  static constexpr std::size_t kMost = 4;
  std::deque<Event> events_;
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
