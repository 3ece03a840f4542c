// The state of the emulated runtime: one per process, under one lock, as in the real runtime. Every call goes through
// `call`, which counts it, checks for injected faults, and refuses what a lost device or a capture forbids.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/emulator/device_memory.hpp"
#include "tests/emulator/emulator.hpp"
#include "tests/emulator/shared_memory.hpp"
#include "tests/emulator/streams.hpp"

namespace emulator {

struct Fault {
  int nth = 0;  // 0: always
  cudaError_t code = cudaErrorUnknown;
};

struct Counts {
  std::map<std::string, std::uint64_t, std::less<>> calls;
  std::map<std::string, std::uint64_t, std::less<>> kernels;
  std::map<std::string, std::uint64_t, std::less<>>
      grids;  // launches, including recorded ones, by kernel and size
  std::uint64_t kernels_run = 0;
  std::uint64_t library_calls_run = 0;
  std::uint64_t copies_to_host = 0;
  std::size_t last_graph = 0;
  std::vector<std::string> loaded_in_capture;
};

struct State {
  std::recursive_mutex lock;
  Machine machine;
  DeviceMemory memory;
  std::unique_ptr<SharedMemory> shared;
  Streams streams;
  std::multimap<std::string, Fault, std::less<>> faults;  // by call; a running kernel counts as "launch"
  Counts counts;
  std::set<std::pair<const void*, std::string>> loaded;  // code, by address and name
  cudaError_t lost = cudaSuccess;                        // a sticky error
  std::string failure;
  std::uint64_t launches_before_call = 0;  // 0: nothing is called
  std::function<void()> call_after;
  bool holds_work = false;
  std::uint64_t order_seed = 1;
  std::uint64_t launches = 0;  // never reset: each launch has its own order

  State();
};

State& state();

enum class Rule {
  always,         // needs no device
  device,         // needs one
  not_capturing,  // and may not be made while the thread captures a stream
  release,        // releases something: done even if the device is lost
};

// Counts a call; returns the code that an injected fault, a missing or lost device or a capture forces, or cudaSuccess.
cudaError_t admit(std::string_view name, Rule rule);
cudaError_t refuse_in_capture(std::string_view name);
cudaError_t planted_fault(std::string_view name);
cudaError_t remember(cudaError_t code);  // for cudaGetLastError
// Records what went wrong as text; returns `code`.
cudaError_t explain(cudaError_t code, std::string text);
int current_device();
// Loads `code`, if it is not loaded yet, for a launch on `stream` (null: no launch).
void note_loading(const void* code, const std::string& name, cudaStream_t stream);

template <typename Body>
cudaError_t call(std::string_view name, Rule rule, Body body) {
  const std::lock_guard<std::recursive_mutex> guard(state().lock);
  const cudaError_t refused = admit(name, rule);
  if (rule == Rule::release) {
    const cudaError_t code = body();
    return remember(refused != cudaSuccess ? refused : code);
  }
  return remember(refused != cudaSuccess ? refused : body());
}

// Runs a kernel now. Throws LaunchFailure.
void run_kernel(const KernelCall& kernel);

}  // namespace emulator
