// What the targets have in common.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "tests/fuzz/targets.hpp"
#include "trainer/system/files.hpp"

namespace trainer::fuzz {

// Whether `read` ends without one of the allowed exceptions.
template <class Allowed, class... More, class Read>
bool is_taken(const Read& read) {
  try {
    if constexpr (sizeof...(More) == 0) {
      read();
      return true;
    } else {
      return is_taken<More...>(read);
    }
  } catch (const Allowed& error) {
    return false;
  }
}

inline std::string text_of(ByteSpan input) {
  return {input.begin(), input.end()};
}

// Ends the process as a fault does.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "error: a property does not hold: %s\n", what);
  std::abort();
}

// For readers that take a path: a file with these bytes. It is always the same one, so that there is no other file to remove.
inline std::filesystem::path file_of(ByteSpan input, const std::string& name = "input") {
  static const ScratchFolder folder;
  const std::filesystem::path path = folder.path() / name;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
  return path;
}

inline std::filesystem::path file_of(std::string_view text, const std::string& name) {
  return file_of(ByteSpan(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()), name);
}

}  // namespace trainer::fuzz
