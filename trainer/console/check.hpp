// A checklist as trainer doctor and trainer target check print it: a line for each thing that was looked at, and for
// each problem its cause and fix, most of them from a row of failures/*.yaml.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/gpu_host/known_failures.hpp"

namespace trainer {

enum class CheckState : std::uint8_t {
  ok,
  note,     // worth knowing; nothing fails because of it
  problem,  // something fails because of it, or will
  unknown,  // could not be examined
  not_run,  // was left out; the finding says why
};

std::string_view word(CheckState state);  // as text and JSON show it: "ok"

struct Check {
  CheckState state = CheckState::ok;
  std::string name;        // "driver"
  std::string finding;     // one line
  std::string cause = {};  // empty if the finding says it
  std::string fix = {};
  FailureClass kind = FailureClass::healthy;  // for a problem
};

// The class of the first problem; healthy if there is none.
FailureClass class_of(const std::vector<Check>& checks);

// The checks as lines, each ending in a newline. Those that were not run come last, a line for each reason.
std::string check_text(const std::vector<Check>& checks);

}  // namespace trainer
