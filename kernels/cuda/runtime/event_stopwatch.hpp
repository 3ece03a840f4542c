// The device's own clock: an event before and one behind what is launched, which nobody waits for.
#pragma once

#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/runtime_handles.hpp"
#include "kernels/stopwatch.hpp"

namespace trainer::cuda {

class EventStopwatch final : public Stopwatch {
 public:
  explicit EventStopwatch(cudaStream_t stream) : stream_(stream), start_(new_event()), stop_(new_event()) {}

  void start() override { check(cudaEventRecord(start_.get(), stream_), "cudaEventRecord"); }
  void stop() override { check(cudaEventRecord(stop_.get(), stream_), "cudaEventRecord"); }
  double seconds() override {
    float milliseconds = 0;
    check(cudaEventSynchronize(stop_.get()), "cudaEventSynchronize");
    check(cudaEventElapsedTime(&milliseconds, start_.get(), stop_.get()), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) / 1e3;
  }

 private:
  static Event new_event() {
    return made<Event>([](cudaEvent_t* out) { check(cudaEventCreate(out), "cudaEventCreate"); });
  }

  cudaStream_t stream_;
  Event start_, stop_;
};

}  // namespace trainer::cuda
