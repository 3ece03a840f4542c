#include "tests/emulator/streams.hpp"

#include <fmt/format.h>
#include <optional>
#include <utility>

#include "tests/emulator/block.hpp"
#include "tests/emulator/state.hpp"

namespace emulator {
namespace {

bool computes(const Work& work) {
  return work.kind == WorkKind::kernel || work.kind == WorkKind::library;
}

// Copies and fills were checked to stay within their allocations when they were submitted.
void run_one(const Work& work) {
  if (!computes(work)) return work.run();
  State& all = state();
  if (const cudaError_t code = planted_fault("launch"); code != cudaSuccess)
    throw LaunchFailure{code, all.failure};
  ++all.counts.kernels[work.name];
  ++(work.kind == WorkKind::kernel ? all.counts.kernels_run : all.counts.library_calls_run);
  work.run();
  if (all.launches_before_call > 0 && --all.launches_before_call == 0) std::exchange(all.call_after, {})();
  if (const auto damage = all.memory.damage(); damage) throw LaunchFailure{cudaErrorIllegalAddress, *damage};
}

}  // namespace

CUstream_st* Streams::find(cudaStream_t stream) {
  if (stream == nullptr) return &null_stream_;
  return streams.has(stream) ? stream : nullptr;
}

cudaError_t Streams::submit(cudaStream_t handle, Work work) {
  CUstream_st* stream = find(handle);
  if (stream == nullptr)
    return explain(cudaErrorInvalidResourceHandle, work.name + " on a stream that is no more");
  if (stream->capture) {
    if (stream->capture->invalidated) return cudaErrorStreamCaptureInvalidated;
    stream->capture->nodes.push_back(std::move(work));
    return cudaSuccess;
  }
  if (stream == &null_stream_) {
    if (const cudaError_t code = finish_blocking(); code != cudaSuccess) return code;
  }
  if (!state().holds_work) return perform(work);
  stream->queue.push_back(std::move(work));
  return cudaSuccess;
}

// A failure is the device's: all later work fails with it.
cudaError_t Streams::perform(const Work& work) {
  State& all = state();
  if (all.lost != cudaSuccess) return all.lost;
  std::optional<DeviceAccess> access;
  if (work.parts || computes(work)) access.emplace(all.memory);
  const Work* part = &work;
  try {
    if (work.parts) {
      for (const Work& each : *work.parts) run_one(*(part = &each));
    } else {
      run_one(work);
    }
  } catch (const LaunchFailure& failed) {
    all.lost = failed.code;
    explain(failed.code, fmt::format("{}: {}", part->name, failed.text));
  }
  return all.lost;
}

cudaError_t Streams::advance(CUstream_st& stream) {
  if (stream.queue.empty()) return state().lost;
  const Work work = std::move(stream.queue.front());
  stream.queue.pop_front();
  return perform(work);
}

cudaError_t Streams::finish(CUstream_st& stream) {
  while (!stream.queue.empty()) advance(stream);
  return state().lost;
}

cudaError_t Streams::finish_all() {
  for (const auto& [handle, stream] : streams) finish(*stream);
  return finish(null_stream_);
}

cudaError_t Streams::finish_blocking() {
  for (const auto& [handle, stream] : streams) {
    if ((stream->flags & cudaStreamNonBlocking) == 0) finish(*stream);
  }
  return finish(null_stream_);
}

Capture* Streams::capture_in_the_way() {
  for (const auto& [handle, stream] : streams) {
    Capture* capture = stream->capture.get();
    if (capture == nullptr || capture->mode == cudaStreamCaptureModeRelaxed) continue;
    const bool of_this_thread = capture->thread == std::this_thread::get_id();
    if (of_this_thread || capture->mode == cudaStreamCaptureModeGlobal) return capture;
  }
  return nullptr;
}

void Streams::clear() {
  execs.clear();
  graphs.clear();
  events.clear();
  streams.clear();
  null_stream_.queue.clear();
}

cudaError_t enqueue(cudaStream_t stream, std::string_view name, std::function<void()> run, const void* plan) {
  return call(name, Rule::device, [&] {
    note_loading(plan, std::string(name), stream);
    return state().streams.submit(stream, {WorkKind::library, std::string(name), std::move(run), nullptr});
  });
}

cudaError_t library_call(std::string_view name) {
  return call(name, Rule::device, [] { return cudaSuccess; });
}

}  // namespace emulator
