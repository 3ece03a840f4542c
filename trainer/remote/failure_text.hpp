// What ssh and docker say when something is wrong, in a form that leads on: cause and next step in one line. The rows
// are those of failures/*.yaml.
#pragma once

#include <stdexcept>
#include <string>

#include "kernels/gpu_host/known_failures.hpp"
#include "trainer/remote/target.hpp"
#include "trainer/system/process.hpp"

namespace trainer {

// `output` is that of a command run for `target` which failed.
[[nodiscard]] Failure explain_failure(const Target& target, const ProcessOutput& output);

// A row's texts with the target's words.
[[nodiscard]] Failure target_failure(const Target& target, std::string_view key);

// A command on a target failed; what() is cause and next step with the target's name in front.
class TargetError : public std::runtime_error {
 public:
  TargetError(const Target& target, const Failure& failure)
      : std::runtime_error("target " + target.name + ": " + failure.text(": ")) {}
};

}  // namespace trainer
