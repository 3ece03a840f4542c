// Stream and event calls of the runtime.
#include <memory>

#include "tests/emulator/state.hpp"

using emulator::call;
using emulator::Capture;
using emulator::explain;
using emulator::Rule;
using emulator::state;
using emulator::Streams;
using emulator::WorkKind;

namespace {

// A stream that is being captured must not be waited for or queried.
cudaError_t refuse_captured(CUstream_st* stream, const char* name) {
  if (stream == nullptr)
    return explain(cudaErrorInvalidResourceHandle, std::string(name) + ": no such stream");
  if (!stream->capture) return cudaSuccess;
  stream->capture->invalidated = true;
  return explain(cudaErrorStreamCaptureUnsupported, std::string(name) + " of a stream that is captured");
}

cudaError_t find_event(cudaEvent_t event, const char* name) {
  if (!state().streams.events.has(event)) {
    return explain(cudaErrorInvalidResourceHandle, std::string(name) + ": no such event");
  }
  if (event->captured)
    return explain(cudaErrorCapturedEvent, std::string(name) + " of an event in a capture");
  return cudaSuccess;
}

void mark(CUevent_st& event) {
  event.time = std::chrono::steady_clock::now();
}

// Work that marks the event's place in its stream.
emulator::Work event_work(cudaEvent_t event) {
  return {WorkKind::event, "event",
          [event] {
            if (!state().streams.events.has(event)) return;  // it has been destroyed since, which is allowed
            --event->pending;
            mark(*event);
          },
          nullptr};
}

cudaError_t finish_event(CUevent_st& event) {
  Streams& streams = state().streams;
  CUstream_st* stream = streams.find(event.stream);
  while (stream != nullptr && event.pending > 0 && state().lost == cudaSuccess) streams.advance(*stream);
  return state().lost;
}

}  // namespace

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", Rule::device, [&] {
    auto made = std::make_unique<CUstream_st>();
    made->flags = flags;
    *stream = state().streams.streams.add(std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call("cudaStreamDestroy", Rule::release, [&]() -> cudaError_t {
    Streams& streams = state().streams;
    if (stream == nullptr || streams.find(stream) == nullptr) return cudaErrorInvalidResourceHandle;
    streams.finish(*stream);  // the real call returns at once, but the work is still done
    streams.streams.remove(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", Rule::device, [&] {
    CUstream_st* stream = state().streams.find(handle);
    const cudaError_t refused = refuse_captured(stream, "cudaStreamSynchronize");
    return refused != cudaSuccess ? refused : state().streams.finish(*stream);
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call("cudaStreamQuery", Rule::device, [&]() -> cudaError_t {
    CUstream_st* stream = state().streams.find(handle);
    const cudaError_t refused = refuse_captured(stream, "cudaStreamQuery");
    if (refused != cudaSuccess || stream->queue.empty()) return refused;
    const cudaError_t code = state().streams.advance(*stream);
    return code != cudaSuccess ? code : cudaErrorNotReady;
  });
}

// In a capture, the waiting stream joins the event's.
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return call("cudaStreamWaitEvent", Rule::device, [&]() -> cudaError_t {
    CUstream_st* stream = state().streams.find(handle);
    if (stream == nullptr || !state().streams.events.has(event)) return cudaErrorInvalidResourceHandle;
    const std::shared_ptr<Capture> capture = event->capture.lock();
    if (event->captured && capture) {
      if (stream->capture && stream->capture != capture) return cudaErrorStreamCaptureMerge;
      stream->capture = capture;
      return cudaSuccess;
    }
    if (stream->capture) {
      stream->capture->invalidated = true;
      return explain(cudaErrorStreamCaptureIsolation,
                     "a captured stream waits for work outside of the capture");
    }
    return finish_event(*event);
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call("cudaEventCreateWithFlags", Rule::device, [&] {
    auto made = std::make_unique<CUevent_st>();
    made->flags = flags;
    *event = state().streams.events.add(std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call("cudaEventDestroy", Rule::release, [&] {
    return state().streams.events.remove(event) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return call("cudaEventRecord", Rule::device, [&]() -> cudaError_t {
    CUstream_st* stream = state().streams.find(handle);
    if (stream == nullptr || !state().streams.events.has(event)) return cudaErrorInvalidResourceHandle;
    event->recorded = true;
    event->stream = handle;
    event->captured = stream->capture != nullptr;
    event->capture = stream->capture;
    if (event->captured) return cudaSuccess;
    ++event->pending;
    return state().streams.submit(handle, event_work(event));
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call("cudaEventQuery", Rule::not_capturing, [&]() -> cudaError_t {
    const cudaError_t wrong = find_event(event, "cudaEventQuery");
    if (wrong != cudaSuccess || event->pending == 0) return wrong;
    CUstream_st* stream = state().streams.find(event->stream);
    const cudaError_t code =
        stream != nullptr ? state().streams.advance(*stream) : cudaErrorInvalidResourceHandle;
    return code != cudaSuccess ? code : cudaErrorNotReady;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call("cudaEventSynchronize", Rule::not_capturing, [&] {
    const cudaError_t wrong = find_event(event, "cudaEventSynchronize");
    return wrong != cudaSuccess ? wrong : finish_event(*event);
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call("cudaEventElapsedTime", Rule::device, [&]() -> cudaError_t {
    for (const cudaEvent_t event : {start, end}) {
      if (const cudaError_t wrong = find_event(event, "cudaEventElapsedTime"); wrong != cudaSuccess)
        return wrong;
      const bool timed = (event->flags & cudaEventDisableTiming) == 0;
      if (!timed || !event->recorded)
        return explain(cudaErrorInvalidResourceHandle, "an event without a time");
      if (event->pending > 0) return cudaErrorNotReady;
    }
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return cudaSuccess;
  });
}
