// Streams, events and graphs. A piece of work runs at once, is queued if work is held back, or becomes a node of the
// graph that its stream is captured into. A graph's nodes run in the order in which they were added.
#pragma once

#include <chrono>
#include <cstdint>
#include <cuda_runtime.h>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace emulator {

enum class WorkKind { kernel, library, copy, fill, event, graph };

struct Work {
  WorkKind kind = WorkKind::kernel;
  std::string name;
  std::function<void()> run;                       // throws LaunchFailure
  std::shared_ptr<const std::vector<Work>> parts;  // of a graph
};

// The state of one capture, shared by the streams that join it.
struct Capture {
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool invalidated = false;
  std::vector<Work> nodes;
};

}  // namespace emulator

struct CUstream_st {
  unsigned flags = cudaStreamNonBlocking;
  std::deque<emulator::Work> queue;
  std::shared_ptr<emulator::Capture> capture;
};

struct CUevent_st {
  unsigned flags = cudaEventDefault;
  CUstream_st* stream = nullptr;  // where it was recorded last
  int pending = 0;                // records that are queued
  std::weak_ptr<emulator::Capture> capture;
  bool captured = false;
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
};

struct CUgraphNode_st {
  emulator::Work work;
};

struct CUgraph_st {
  std::deque<CUgraphNode_st> nodes;
};

struct CUgraphExec_st {
  std::shared_ptr<const std::vector<emulator::Work>> work;
};

namespace emulator {

// Objects that the program holds, by handle.
template <typename T>
class Handles {
 public:
  T* add(std::unique_ptr<T> object) {
    T* handle = object.get();
    held_.emplace(handle, std::move(object));
    return handle;
  }
  bool has(T* handle) const { return held_.count(handle) > 0; }
  bool remove(T* handle) { return held_.erase(handle) > 0; }
  std::size_t size() const { return held_.size(); }
  void clear() { held_.clear(); }
  auto begin() { return held_.begin(); }
  auto end() { return held_.end(); }

 private:
  std::map<T*, std::unique_ptr<T>> held_;
};

class Streams {
 public:
  Handles<CUstream_st> streams;
  Handles<CUevent_st> events;
  Handles<CUgraph_st> graphs;
  Handles<CUgraphExec_st> execs;

  // Null for an invalid handle. The null stream has an object too.
  CUstream_st* find(cudaStream_t stream);
  cudaError_t submit(cudaStream_t stream, Work work);
  cudaError_t finish(CUstream_st& stream);  // runs everything that is queued
  cudaError_t finish_all();
  cudaError_t finish_blocking();             // runs what the null stream waits for
  cudaError_t advance(CUstream_st& stream);  // runs one piece
  // The capture that forbids unsafe calls in this thread; null if there is none.
  Capture* capture_in_the_way();
  void clear();

 private:
  cudaError_t perform(const Work& work);

  CUstream_st null_stream_{cudaStreamDefault, {}, nullptr};
};

}  // namespace emulator
