// Compares and prints the place in the source at which a thread waits.
#pragma once

#include <cstring>
#include <cuda_runtime.h>
#include <fmt/format.h>
#include <string>

namespace emulator {

inline bool same(const Place& a, const Place& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

inline std::string text(const Place& place) {
  return fmt::format("{}:{}", place.file, place.line);
}

inline bool has(unsigned mask, int lane) {
  return (mask >> static_cast<unsigned>(lane) & 1U) != 0;
}

}  // namespace emulator
