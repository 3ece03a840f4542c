#include "tests/emulator/state.hpp"

#include <fmt/format.h>

#include "tests/emulator/environment.hpp"

namespace emulator {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

State::State() : shared(std::make_unique<SharedMemory>()) {}

// Exists until the process ends, since a program may release its streams as late as that.
State& state() {
  static State* only = new State;
  static const bool environment_read = (read_environment(*only), true);
  static_cast<void>(environment_read);
  return *only;
}

cudaError_t remember(cudaError_t code) {
  if (code != cudaSuccess && code != cudaErrorNotReady) last_error = code;
  return code;
}

cudaError_t explain(cudaError_t code, std::string text) {
  state().failure = std::move(text);
  return code;
}

cudaError_t planted_fault(std::string_view name) {
  State& all = state();
  cudaError_t code = cudaSuccess;
  auto [fault, end] = all.faults.equal_range(name);
  while (fault != end) {
    if (fault->second.nth > 1) {
      --fault->second.nth;
      ++fault;
      continue;
    }
    code = fault->second.code;
    fault = fault->second.nth == 1 ? all.faults.erase(fault) : std::next(fault);
  }
  if (code != cudaSuccess) explain(code, fmt::format("{}: a fault that was planted here", name));
  return code;
}

cudaError_t admit(std::string_view name, Rule rule) {
  State& all = state();
  ++all.counts.calls[std::string(name)];
  if (const cudaError_t planted = planted_fault(name); planted != cudaSuccess) return planted;
  if (rule == Rule::always) return cudaSuccess;
  if (all.machine.device_error != cudaSuccess) return all.machine.device_error;
  if (all.machine.devices.empty()) return cudaErrorNoDevice;
  if (all.lost != cudaSuccess) return all.lost;
  return rule == Rule::not_capturing ? refuse_in_capture(name) : cudaSuccess;
}

// A call that is forbidden in a capture invalidates the capture.
cudaError_t refuse_in_capture(std::string_view name) {
  Capture* capture = state().streams.capture_in_the_way();
  if (capture == nullptr) return cudaSuccess;
  capture->invalidated = true;
  return explain(cudaErrorStreamCaptureUnsupported, fmt::format("{} while a stream is captured", name));
}

void note_loading(const void* code, const std::string& name, cudaStream_t stream) {
  State& all = state();
  const CUstream_st* launched_on = stream != nullptr ? all.streams.find(stream) : nullptr;
  const bool fresh = all.loaded.emplace(code, name).second;
  if (fresh && launched_on != nullptr && launched_on->capture) all.counts.loaded_in_capture.push_back(name);
}

void reset() {
  State& all = state();
  const std::lock_guard<std::recursive_mutex> guard(all.lock);
  all.streams.clear();
  all.memory.release_all();
  all.machine = Machine{};
  all.faults.clear();
  all.launches_before_call = 0;
  all.counts = Counts{};
  all.loaded.clear();
  all.lost = cudaSuccess;
  all.failure.clear();
  all.holds_work = false;
  all.order_seed = 1;
  last_error = cudaSuccess;
  read_environment(all);
}

void play(const Machine& machine) {
  state().machine = machine;
}

void fail_call(std::string_view name, int nth, cudaError_t code) {
  state().faults.emplace(std::string(name), Fault{nth, code});
}

void fail_launch(int nth, cudaError_t code) {
  fail_call("launch", nth, code);
}

void call_after(std::uint64_t nth, std::function<void()> what) {
  state().launches_before_call = nth;
  state().call_after = std::move(what);
}

void hold_work(bool on) {
  state().holds_work = on;
}
void order_by(std::uint64_t seed) {
  state().order_seed = seed;
}

std::string failure() {
  return state().failure;
}

}  // namespace emulator

cudaError_t cudaGetLastError() {
  const cudaError_t lost = emulator::state().lost;
  const cudaError_t code = emulator::last_error;
  emulator::last_error = cudaSuccess;
  return lost != cudaSuccess ? lost : code;
}

cudaError_t cudaPeekAtLastError() {
  const cudaError_t lost = emulator::state().lost;
  return lost != cudaSuccess ? lost : emulator::last_error;
}

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
#define EMULATED_NAME(name, number, text) \
  case name:                              \
    return #name;
    EMULATED_ERRORS(EMULATED_NAME)
#undef EMULATED_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t code) {
  static std::string told;
  const std::string& why = emulator::state().failure;
  if (code != cudaSuccess && !why.empty()) return (told = "emulated: " + why).c_str();
  switch (code) {
#define EMULATED_TEXT(name, number, text) \
  case name:                              \
    return text;
    EMULATED_ERRORS(EMULATED_TEXT)
#undef EMULATED_TEXT
  }
  return "unrecognized error code";
}
