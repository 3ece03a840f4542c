// A checklist as trainer doctor and trainer target check print it: one line a thing that was looked at, and where
// something is to be mended the cause and the fix, mostly those of a row of failures/*.yaml.
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
  problem,  //
  unknown,  // it could not be looked at
};

std::string_view word(CheckState state);  // as in a text and in JSON: "ok"

struct Check {
  CheckState state = CheckState::ok;
  std::string name;        // "driver"
  std::string finding;     // a line
  std::string cause = {};  // where the finding does not say it
  std::string fix = {};
  FailureClass kind = FailureClass::healthy;  // of a problem
};

// That of the first problem.
FailureClass class_of(const std::vector<Check>& checks);

// Lines, each ended.
std::string check_text(const std::vector<Check>& checks);

}  // namespace trainer
