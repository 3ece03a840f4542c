#include "trainer/doctor/check.hpp"

#include <algorithm>

namespace trainer::doctor {

std::string_view meaning(ExitClass exit) {
  switch (exit) {
    case ExitClass::healthy:
      return "healthy";
    case ExitClass::failed:
      return "the command failed, or a device stands out among equal ones";
    case ExitClass::no_driver:
      return "no driver, or a part of it is missing";
    case ExitClass::driver_version:
      return "driver, kernel module and program do not go together";
    case ExitClass::no_device:
      return "no GPU is visible to this process";
    case ExitClass::no_code:
      return "this build has no code for the GPU";
    case ExitClass::busy:
      return "the GPU is busy, closed, or its memory is taken";
    case ExitClass::libraries:
      return "cuDNN or cuBLAS is missing or mixed";
    case ExitClass::container:
      return "the container was given no GPU, or not all of it";
    case ExitClass::machine:
      return "a fault of the machine, its modules or services";
    case ExitClass::files:
      return "data set, results folder or memory";
  }
  return "";
}

ExitClass exit_class(GpuTrouble trouble) {
  switch (trouble) {
    case GpuTrouble::no_driver:
      return ExitClass::no_driver;
    case GpuTrouble::driver_version:
      return ExitClass::driver_version;
    case GpuTrouble::no_gpu:
    case GpuTrouble::no_device:
      return ExitClass::no_device;
    case GpuTrouble::no_code:
      return ExitClass::no_code;
    case GpuTrouble::busy:
      return ExitClass::busy;
    case GpuTrouble::container:
      return ExitClass::container;
    case GpuTrouble::fault:
      break;
  }
  return ExitClass::machine;
}

ExitClass exit_class(const std::vector<Check>& checks) {
  const auto problem = std::ranges::find(checks, State::problem, &Check::state);
  return problem == checks.end() ? ExitClass::healthy : problem->exit;
}

}  // namespace trainer::doctor
