// What trainer doctor finds: one line a thing that it looked at, and for every problem the cause, the fix and
// the class that the exit status names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/gpu_host/known_failures.hpp"

namespace trainer::doctor {

enum class State { ok, note, problem };

struct Check {
  State state = State::ok;
  std::string name;     // "driver"
  std::string finding;  // a line
  std::string cause = {};
  std::string fix = {};
  FailureClass kind = FailureClass::healthy;  // of a problem
};

// A problem that is a row of the table; the cause is the row's where none is seen that says more.
Check known_problem(const std::string& name, const std::string& finding, std::string_view key,
                    const std::string& cause = "");

// That of the first problem.
FailureClass class_of(const std::vector<Check>& checks);

}  // namespace trainer::doctor
