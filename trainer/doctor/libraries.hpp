// The CUDA libraries that this program runs with. The parts of cuDNN are loaded by name at the first use:
// found out beforehand, in a child process, so that parts which do not go together end that one.
#pragma once

#include <string>
#include <vector>

#include "trainer/doctor/facts.hpp"

namespace trainer::doctor {

struct LoadOrder {
  std::vector<std::string> names;  // of libraries
  std::string folder;              // where one is also looked for; empty: only where the loader looks
  std::vector<std::string> version_checks;  // functions of them, "int f()", that give 0 where versions agree
};

struct LoadResult {
  std::vector<LibraryPart> parts;  // as ordered, as far as it came
  std::vector<std::string> mixed;  // of version_checks
  bool crashed = false;
};

LoadResult load_apart(const LoadOrder& order);

// used: false in a program that is not linked with cuDNN 9.
CudnnFacts look_at_cudnn();

// What the loader finds for a program that takes cuBLASLt of CUDA `wanted` (13); 0: it takes none.
CublasFacts look_at_cublas(int wanted);

}  // namespace trainer::doctor
