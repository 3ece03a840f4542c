// Capture and replay.
#include "kernels/cuda/runtime/recording.hpp"

#include <algorithm>

#include "kernels/cuda/runtime/check.hpp"

namespace trainer::cuda {

namespace {

Graph capture(cudaStream_t stream, const std::vector<RepeatedStep>& sequence, std::uint64_t times) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    for (std::uint64_t t = 0; t < times; ++t) {
      for (const RepeatedStep& part : sequence) {
        for (std::uint64_t s = 0; s < part.times; ++s) part.step();
      }
    }
  } catch (...) {
    static_cast<void>(cudaStreamEndCapture(stream, &graph));
    const Graph half(graph);
    static_cast<void>(cudaGetLastError());
    throw;
  }
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  return Graph(graph);
}

std::size_t nodes_of(const Graph& graph) {
  std::size_t nodes = 0;
  check(cudaGraphGetNodes(graph.get(), nullptr, &nodes), "cudaGraphGetNodes");
  return nodes;
}

Event new_event(unsigned flags) {
  return made<Event>(
      [&](cudaEvent_t* out) { check(cudaEventCreateWithFlags(out, flags), "cudaEventCreateWithFlags"); });
}

// The graph is uploaded to the device at once; otherwise the first launch would have to do it.
GraphExec instantiate(const Graph& graph, cudaStream_t stream) {
  auto exec = made<GraphExec>([&](cudaGraphExec_t* out) {
    check(cudaGraphInstantiate(out, graph.get(), 0), "cudaGraphInstantiate");
  });
  check(cudaGraphUpload(exec.get(), stream), "cudaGraphUpload");
  return exec;
}

}  // namespace

InFlight::InFlight() {
  for (Event& event : events_) event = new_event(cudaEventDisableTiming);
}

// If the queue is full because nobody called busy(), the oldest launch is dropped: the stream keeps the order anyway.
void InFlight::add(cudaStream_t stream) {
  if (count_ == kMostLaunches) {
    oldest_ = (oldest_ + 1) % kMostLaunches;
    --count_;
  }
  check(cudaEventRecord(events_[(oldest_ + count_) % kMostLaunches].get(), stream), "cudaEventRecord");
  ++count_;
}

bool InFlight::busy() {
  while (count_ > 0) {
    const cudaError_t state = cudaEventQuery(events_[oldest_].get());
    if (state == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());
      break;
    }
    check(state, "a training step on the GPU");
    oldest_ = (oldest_ + 1) % kMostLaunches;
    --count_;
  }
  return count_ == kMostLaunches;
}

CudaRecording::CudaRecording(cudaStream_t stream, InFlight& in_flight,
                             const std::vector<RepeatedStep>& sequence)
    : stream_(stream), in_flight_(in_flight) {
  std::uint64_t steps = 0;
  std::vector<std::size_t> nodes;  // nodes in one step of each part
  for (const RepeatedStep& part : sequence) {
    nodes.push_back(nodes_of(capture(stream, {{part.step, 1}}, 1)));
    nodes_ += nodes.back() * part.times;
    steps += part.times;
  }
  if (nodes_ <= kMostNodes) {
    add(sequence, 1);
  } else {
    for (std::size_t i = 0; i < sequence.size(); ++i) add_in_pieces(sequence[i], nodes[i]);
  }
  repeats_ = steps > 0 ? kStepsALaunch / steps : 0;
  if (repeats_ > 1) many_ = instantiate(capture(stream, sequence, repeats_), stream);
}

void CudaRecording::add(const std::vector<RepeatedStep>& steps, std::uint64_t times) {
  once_.push_back({instantiate(capture(stream_, steps, 1), stream_), times});
}

// Adds graphs of as many steps as one may have, and one of the steps that are left over.
void CudaRecording::add_in_pieces(const RepeatedStep& part, std::size_t nodes_of_step) {
  const std::uint64_t most = std::max<std::uint64_t>(1, kMostNodes / std::max<std::size_t>(1, nodes_of_step));
  if (part.times >= most) add({{part.step, most}}, part.times / most);
  if (part.times % most > 0) add({{part.step, part.times % most}}, 1);
}

void CudaRecording::launch(std::uint64_t times) {
  for (; many_ && times >= repeats_; times -= repeats_)
    check(cudaGraphLaunch(many_.get(), stream_), "cudaGraphLaunch");
  for (; times > 0; --times) {
    for (const Interval& interval : once_) {
      for (std::uint64_t t = 0; t < interval.times; ++t)
        check(cudaGraphLaunch(interval.graph.get(), stream_), "cudaGraphLaunch");
    }
  }
  in_flight_.add(stream_);
}

EventStopwatch::EventStopwatch(cudaStream_t stream)
    : stream_(stream), start_(new_event(cudaEventDefault)), stop_(new_event(cudaEventDefault)) {}

void EventStopwatch::start() {
  check(cudaEventRecord(start_.get(), stream_), "cudaEventRecord");
}

void EventStopwatch::stop() {
  check(cudaEventRecord(stop_.get(), stream_), "cudaEventRecord");
}

double EventStopwatch::seconds() {
  float milliseconds = 0;
  check(cudaEventSynchronize(stop_.get()), "cudaEventSynchronize");
  check(cudaEventElapsedTime(&milliseconds, start_.get(), stop_.get()), "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) / 1e3;
}

}  // namespace trainer::cuda
