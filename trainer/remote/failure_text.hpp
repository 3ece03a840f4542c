// What ssh and docker say when something is wrong, in a form that leads on: cause and next step in one line.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "trainer/remote/target.hpp"
#include "trainer/system/process.hpp"

namespace trainer {

enum class FailureKind : std::uint8_t {
  unreachable,     // no connection to the machine, or a lost one
  host_key,        // nobody vouches that it is the machine
  login,           // the machine does not take the user's key
  no_docker,       // no docker program there
  docker_access,   // the user may not talk to the engine
  docker_stopped,  // nobody answers at the engine's socket
  no_image,
  no_container,
  name_taken,
  disk_full,
  gpu,  // the engine cannot hand a GPU to a container
  other,
};

struct Failure {
  FailureKind kind = FailureKind::other;
  std::string cause;
  std::string fix;  // may be empty for `other`

  std::string text() const { return fix.empty() ? cause : cause + ": " + fix; }
};

// `output` is that of a command run for `target` which failed.
[[nodiscard]] Failure explain_failure(const Target& target, const ProcessOutput& output);

// A command on a target failed; what() is Failure::text with the target's name in front.
class TargetError : public std::runtime_error {
 public:
  TargetError(const Target& target, const Failure& failure)
      : std::runtime_error("target " + target.name + ": " + failure.text()), kind_(failure.kind) {}
  [[nodiscard]] FailureKind kind() const { return kind_; }

 private:
  FailureKind kind_;
};

}  // namespace trainer
