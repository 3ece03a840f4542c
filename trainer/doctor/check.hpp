// What trainer doctor finds: one line a thing that it looked at, and for every problem the cause, the fix and
// the class that the exit status names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/gpu_host/gpu_failure.hpp"

namespace trainer::doctor {

// The numbers are the program's exit status.
enum class ExitClass {
  healthy = 0,
  failed = 1,  // of the command itself, or a GPU that stands out among equal ones
  no_driver = 10,
  driver_version = 11,
  no_device = 12,
  no_code = 13,
  busy = 14,
  libraries = 15,
  container = 16,
  machine = 17,
  files = 18,
};

inline constexpr ExitClass kExitClasses[] = {
    ExitClass::healthy,   ExitClass::failed,  ExitClass::no_driver, ExitClass::driver_version,
    ExitClass::no_device, ExitClass::no_code, ExitClass::busy,      ExitClass::libraries,
    ExitClass::container, ExitClass::machine, ExitClass::files,
};

// A few words: "the driver and this program do not go together".
std::string_view meaning(ExitClass exit);
ExitClass exit_class(GpuTrouble trouble);

enum class State { ok, note, problem };

struct Check {
  State state = State::ok;
  std::string name;     // "driver"
  std::string finding;  // a line
  std::string cause = {};
  std::string fix = {};
  ExitClass exit = ExitClass::healthy;  // of a problem
};

// That of the first problem.
ExitClass exit_class(const std::vector<Check>& checks);

}  // namespace trainer::doctor
