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
  note,     // something to know; nothing fails for it
  problem,  // something fails for it, or will
  unknown,  // it could not be looked at
};

std::string_view word(CheckState state);  // as in a text and in JSON: "ok"

struct Check {
  CheckState state = CheckState::ok;
  std::string name;        // "driver"
  std::string finding;     // a line
  std::string cause = {};  // where the finding does not say it
  std::string fix = {};
  FailureClass kind = FailureClass::healthy;  // where it is a problem
};

// The class of the first problem; healthy where there is none.
FailureClass class_of(const std::vector<Check>& checks);

// The checks as lines, each ended.
std::string check_text(const std::vector<Check>& checks);

}  // namespace trainer
