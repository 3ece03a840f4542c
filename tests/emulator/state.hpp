// The state behind the emulated runtime: one a process, under one lock, as the runtime itself keeps it. Every
// call goes through `call`, which counts it, looks for planted faults, and knows what a lost device or a
// capture forbids.
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
      grids;  // launches, also recorded ones, by kernel and size
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
  std::multimap<std::string, Fault, std::less<>> faults;  // by call; a kernel that runs is a "launch"
  Counts counts;
  std::set<std::pair<const void*, std::string>> loaded;  // code, by address and name
  cudaError_t lost = cudaSuccess;                        // an error that sticks
  std::string failure;
  bool holds_work = false;
  std::uint64_t order_seed = 1;
  std::uint64_t launches = 0;  // never set back: each launch has an order of its own

  State();
};

State& state();

enum class Rule {
  always,         // needs no device
  device,         // needs one
  not_capturing,  // and may not be made while the thread captures a stream
  release,        // gives something back: done even where the device is lost
};

// Counts a call, gives the code that a planted fault, a missing or lost device or a capture forces, or
// cudaSuccess.
cudaError_t admit(std::string_view name, Rule rule);
cudaError_t refuse_in_capture(std::string_view name);
cudaError_t planted_fault(std::string_view name);
cudaError_t remember(cudaError_t code);  // for cudaGetLastError
// Notes what went wrong, in words; gives `code` back.
cudaError_t explain(cudaError_t code, std::string text);
int current_device();
// `code` is needed by a launch on `stream`, null for none: it is loaded where it is not yet.
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
