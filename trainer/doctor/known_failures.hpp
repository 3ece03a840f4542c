// What goes wrong between a GPU and a program, as messages: of the container's runtime, the driver's tools,
// the CUDA runtime, the libraries, and this program. One row a cause; the texts for the CUDA runtime's codes
// are gpu_failure.hpp's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "trainer/doctor/check.hpp"

namespace trainer::doctor {

struct KnownFailure {
  std::string key;  // "nvml-mismatch"
  ExitClass exit = ExitClass::failed;
  // Of messages, as they are written; " ... " stands for anything in between. Numbers may differ.
  std::vector<std::string> patterns;
  std::vector<int> codes;  // of the CUDA runtime or driver: "CUDA error 803"
  std::string cause;
  std::string fix;
};

std::vector<KnownFailure> known_failures();
KnownFailure known_failure(std::string_view key);  // there is one

struct Explanation {
  std::vector<KnownFailure> found;    // the most specific first
  std::vector<KnownFailure> nearest;  // by their words, where none was found: three at most
};

// The rows for a message as it was pasted: case, numbers, line breaks, terminal colours and what stands
// before and after do not matter.
Explanation explain(std::string_view pasted);

}  // namespace trainer::doctor
