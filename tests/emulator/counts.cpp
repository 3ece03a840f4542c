// What a test reads from the emulator's state: how often each function was called, what is still allocated, what is
// still unwritten.
#include <bit>
#include <cstring>
#include <fmt/format.h>

#include "tests/emulator/state.hpp"

namespace emulator {

void reset_counts() {
  state().counts = Counts{};
}

std::uint64_t calls(std::string_view name) {
  const auto& counted = state().counts.calls;
  const auto found = counted.find(name);
  return found == counted.end() ? 0 : found->second;
}

std::uint64_t runs(std::string_view kernel) {
  const auto& counted = state().counts.kernels;
  const auto found = counted.find(kernel);
  return found == counted.end() ? 0 : found->second;
}

std::uint64_t kernels_run() {
  return state().counts.kernels_run;
}
std::uint64_t library_calls_run() {
  return state().counts.library_calls_run;
}
std::uint64_t copies_to_host() {
  return state().counts.copies_to_host;
}
std::size_t kernels_in_last_graph() {
  return state().counts.last_graph;
}

std::vector<std::string> loaded_in_capture() {
  return state().counts.loaded_in_capture;
}

std::string counts_text() {
  const Counts& counts = state().counts;
  std::string lines;
  for (const auto& [name, count] : counts.calls) lines += fmt::format("call {} {}\n", name, count);
  for (const auto& [name, count] : counts.kernels) lines += fmt::format("run {} {}\n", name, count);
  for (const auto& [grid, count] : counts.grids) lines += fmt::format("launch {} {}\n", grid, count);
  return lines + fmt::format("kernels in last graph {}\n", counts.last_graph);
}

Holdings holdings() {
  const State& all = state();
  return {all.memory.live(false),    all.memory.live(true),     all.streams.streams.size(),
          all.streams.events.size(), all.streams.graphs.size(), all.streams.execs.size()};
}

std::string leak_report() {
  const Holdings held = holdings();
  std::string lines = state().memory.list();
  const auto add = [&](std::size_t count, const char* what) {
    if (count > 0) lines += fmt::format("{} {}\n", count, what);
  };
  add(held.streams, "streams");
  add(held.events, "events");
  add(held.graphs, "graphs");
  add(held.execs, "instantiated graphs");
  return lines;
}

std::size_t allocated_bytes(int device) {
  return state().memory.used(device);
}

std::size_t unwritten(const void* device, std::size_t bytes) {
  const DeviceAccess access(state().memory);
  std::size_t count = 0;
  for (std::size_t at = 0; at + sizeof(std::uint32_t) <= bytes; at += sizeof(std::uint32_t)) {
    std::uint32_t word = 0;
    std::memcpy(&word, static_cast<const char*>(device) + at, sizeof word);
    count += word == DeviceMemory::kPoison ? 1 : 0;
  }
  return count;
}

bool is_poison(float value) {
  return std::bit_cast<std::uint32_t>(value) == DeviceMemory::kPoison;
}

}  // namespace emulator
