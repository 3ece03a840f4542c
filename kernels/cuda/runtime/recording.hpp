// Sequences of steps, captured once and replayed: as one graph and, if the sequence is short, also as a graph of many
// repeats, since a launch costs the host and the device a few microseconds however much it contains. The step's number
// is stored on the device, so all copies in a graph are identical.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/cuda/runtime/handle.hpp"

namespace trainer::cuda {

// The steps of the long graph: enough to hide the next launch, but few enough for the host to react between launches.
constexpr std::uint64_t kStepsALaunch = 16;
// The most launches in flight.
constexpr std::size_t kMostLaunches = 4;

// The most nodes of one graph. Making a graph costs the host microseconds and the device about a kilobyte for each node,
// so a longer sequence is cut into several; one epoch of any shipped network has fewer.
constexpr std::size_t kMostNodes = 32768;

// Launches that are not known to have ended. The events are created once, so a launch creates nothing.
class InFlight {
 public:
  InFlight();
  void add(cudaStream_t stream);
  bool busy();  // true while kMostLaunches are in flight
  void clear() { count_ = 0; }

 private:
  std::array<Event, kMostLaunches> events_;
  std::size_t oldest_ = 0;
  std::size_t count_ = 0;
};

class CudaRecording final : public Recording {
 public:
  // Captures `sequence` on `stream` without running it. Throws CudaError.
  CudaRecording(cudaStream_t stream, InFlight& in_flight, const std::vector<RepeatedStep>& sequence);
  void launch(std::uint64_t times) override;
  std::size_t nodes() const override { return nodes_; }

 private:
  // A graph and how often it is launched in a row.
  struct Interval {
    GraphExec graph;
    std::uint64_t times = 1;
  };
  void add(const std::vector<RepeatedStep>& steps, std::uint64_t times);
  void add_in_pieces(const RepeatedStep& part, std::size_t nodes_of_step);

  cudaStream_t stream_;
  InFlight& in_flight_;
  std::size_t nodes_ = 0;
  std::vector<Interval> once_;  // in order, they make up the sequence
  GraphExec many_;              // repeats_ of the sequence; null if repeats_ is less than two
  std::uint64_t repeats_ = 1;
};

// The device's own clock: one event before and one after the launched work, which nobody waits for.
class EventStopwatch final : public Stopwatch {
 public:
  explicit EventStopwatch(cudaStream_t stream);
  void start() override;
  void stop() override;
  double seconds() override;

 private:
  cudaStream_t stream_;
  Event start_, stop_;
};

}  // namespace trainer::cuda
