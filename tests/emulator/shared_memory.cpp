#include "tests/emulator/shared_memory.hpp"

#include <algorithm>

#include "tests/emulator/device_memory.hpp"
#include "tests/emulator/sanitizer.hpp"

// The linker's names for the ends of the section.
extern std::uint32_t section_begin[] asm("__start_emulated_shared");
extern std::uint32_t section_end[] asm("__stop_emulated_shared");

namespace emulator {
namespace {

constexpr std::size_t kChunk = 16;  // words that are checked and restored together

// Ensures that the section exists, aligned, even in a program without shared memory.
__attribute__((section("emulated_shared"), used)) alignas(64) std::uint32_t anchor[kChunk] = {};

std::size_t words() {
  return (reinterpret_cast<std::uintptr_t>(section_end) - reinterpret_cast<std::uintptr_t>(section_begin)) /
         sizeof(std::uint32_t);
}

EMULATOR_UNCHECKED void poison_chunk(std::size_t chunk, std::size_t end) {
  for (std::size_t i = chunk * kChunk; i < std::min((chunk + 1) * kChunk, end); ++i) {
    section_begin[i] = DeviceMemory::kPoison;
  }
}

EMULATOR_UNCHECKED bool is_poisoned(std::size_t chunk, std::size_t end) {
  std::uint32_t difference = 0;
  for (std::size_t i = chunk * kChunk; i < std::min((chunk + 1) * kChunk, end); ++i) {
    difference |= section_begin[i] ^ DeviceMemory::kPoison;
  }
  return difference == 0;
}

EMULATOR_UNCHECKED void copy_words(const std::uint32_t* from, std::uint32_t* to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to[i] = from[i];
}

}  // namespace

SharedMemory::SharedMemory() {
  const std::size_t end = words();
  for (std::size_t chunk = 0; chunk * kChunk < end; ++chunk) poison_chunk(chunk, end);
}

void SharedMemory::begin_block(const void* kernel) {
  const std::size_t end = words();
  for (const std::size_t chunk : used_[kernel]) poison_chunk(chunk, end);
}

void SharedMemory::end_block(const void* kernel, bool first, bool last) {
  if (first || last) restore_all(used_[kernel]);
}

std::vector<std::uint32_t> SharedMemory::keep() const {
  std::vector<std::uint32_t> kept(words());
  copy_words(section_begin, kept.data(), kept.size());
  return kept;
}

void SharedMemory::bring_back(const std::vector<std::uint32_t>& kept) {
  copy_words(kept.data(), section_begin, kept.size());
}

// Poisons everything that was written, and records which chunks that was.
void SharedMemory::restore_all(std::vector<std::size_t>& used) {
  const std::size_t end = words();
  for (std::size_t chunk = 0; chunk * kChunk < end; ++chunk) {
    if (is_poisoned(chunk, end)) continue;
    poison_chunk(chunk, end);
    const auto place = std::lower_bound(used.begin(), used.end(), chunk);
    if (place == used.end() || *place != chunk) used.insert(place, chunk);
  }
}

}  // namespace emulator
