// Which GPUs a program's device code runs on: reads CMake's list of architectures and compares it with a device. In
// that list "80" means machine code and PTX, "80-real" machine code only, "80-virtual" PTX only; "90a" and "100f" mean
// code for one device or one family. Machine code of x.y runs on devices of the same x and no smaller y, PTX on every
// device of x.y and up (CUDA C++ Programming Guide, "Application Compatibility").
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/precision.hpp"

namespace trainer {

struct GpuArchitecture {
  int number = 0;     // 90 for compute capability 9.0
  char suffix = ' ';  // 'a': only that capability, 'f': its family
};

struct GpuArchitectures {
  std::vector<GpuArchitecture> machine_code;
  std::vector<GpuArchitecture> ptx;
};

// Reads "75-real;80-real;120"; words without a number ("native") are skipped.
GpuArchitectures parse_architectures(std::string_view cmake_list);

std::string architecture_name(const GpuArchitecture& architecture);  // "90a"
std::string architectures_text(const GpuArchitectures& built);       // "75 80 90 + PTX 90"; "none"
inline int capability_number(int major, int minor) {
  return 10 * major + minor;
}

// Whether GPUs of compute capability `major`.x, 7.5 and up, support the precision.
inline bool capability_has(int major, Precision precision) {
  return major >= 8 || precision == Precision::fp32 || precision == Precision::fp16;
}

struct GpuCode {
  enum class Kind { none, machine_code, ptx } kind = Kind::none;
  GpuArchitecture from;  // unless there is none
};

// What a device of this compute capability runs: the nearest machine code, else the newest PTX that it can.
GpuCode code_for(const GpuArchitectures& built, int major, int minor);

// One line: "runs the machine code of 90", or what is wrong and what to do about it.
std::string code_text(const GpuArchitectures& built, int major, int minor);

// How to get a program with code for this device: a rebuild, an older toolkit, or another GPU. The kernels' barriers
// (kernels/cuda/device_code/grid_barrier.cuh) use PTX that no toolkit translates for less than 7.0.
std::string rebuild_advice(int major, int minor);

}  // namespace trainer
