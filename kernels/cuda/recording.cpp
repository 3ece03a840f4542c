// Capture and replay.
#include "kernels/cuda/recording.hpp"

#include "kernels/cuda/check.hpp"

namespace trainer::cuda {

namespace {

Graph capture(cudaStream_t stream, const std::function<void()>& step, std::uint64_t steps) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    for (std::uint64_t s = 0; s < steps; ++s) step();
  } catch (...) {
    static_cast<void>(cudaStreamEndCapture(stream, &graph));
    const Graph half(graph);
    static_cast<void>(cudaGetLastError());
    throw;
  }
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  return Graph(graph);
}

GraphExec instantiate(const Graph& graph) {
  cudaGraphExec_t exec = nullptr;
  check(cudaGraphInstantiate(&exec, graph.get(), 0), "cudaGraphInstantiate");
  return GraphExec(exec);
}

}  // namespace

Flight::Flight() {
  for (Event& event : events_) {
    event = made<Event>([](cudaEvent_t* out) {
      check(cudaEventCreateWithFlags(out, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    });
  }
}

// Where nobody asked whether it is busy, the oldest launch is forgotten: the stream keeps the order anyway.
void Flight::took_off(cudaStream_t stream) {
  if (in_air_ == kMost) {
    oldest_ = (oldest_ + 1) % kMost;
    --in_air_;
  }
  check(cudaEventRecord(events_[(oldest_ + in_air_) % kMost].get(), stream), "cudaEventRecord");
  ++in_air_;
}

bool Flight::busy() {
  while (in_air_ > 0) {
    const cudaError_t state = cudaEventQuery(events_[oldest_].get());
    if (state == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());
      break;
    }
    check(state, "a training step on the GPU");
    oldest_ = (oldest_ + 1) % kMost;
    --in_air_;
  }
  return in_air_ == kMost;
}

CudaRecording::CudaRecording(cudaStream_t stream, Flight& flight, const std::function<void()>& step)
    : stream_(stream), flight_(flight) {
  const Graph one = capture(stream, step, 1);
  check(cudaGraphGetNodes(one.get(), nullptr, &nodes_), "cudaGraphGetNodes");
  one_ = instantiate(one);
  many_ = instantiate(capture(stream, step, kStepsALaunch));
}

void CudaRecording::launch(std::uint64_t steps) {
  for (; steps >= kStepsALaunch; steps -= kStepsALaunch)
    check(cudaGraphLaunch(many_.get(), stream_), "cudaGraphLaunch");
  for (; steps > 0; --steps) check(cudaGraphLaunch(one_.get(), stream_), "cudaGraphLaunch");
  flight_.took_off(stream_);
}

}  // namespace trainer::cuda
