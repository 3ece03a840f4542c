// How commands reach a target: on this machine directly, elsewhere through ssh. All commands to one target
// share one connection (ControlMaster), which stays open for a minute after the last, so that only the first
// pays for the handshake; keepalives notice a lost line within 15 seconds. The connection's socket lies in a
// folder of the user's own.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/remote/target.hpp"
#include "trainer/system/process.hpp"

namespace trainer {

// $XDG_RUNTIME_DIR/mnist-trainer, or mnist-trainer-UID in the system's folder for temporary files where that
// is not set, is too long for a socket's path or holds characters that ssh's configuration gives a meaning.
// Made if it is not there. Throws FileError where the folder is not the user's own.
[[nodiscard]] std::filesystem::path control_folder(const std::filesystem::path& runtime_folder);

// ssh with its options for `target`, up to and with "--" and user@address. The command follows as one word.
[[nodiscard]] std::vector<std::string> ssh_words(const Target& target,
                                                 const std::filesystem::path& control_folder);

class Connection {
 public:
  // `runtime_folder` as control_folder takes it.
  Connection(Target target, const std::filesystem::path& runtime_folder);

  [[nodiscard]] const Target& target() const { return target_; }

  // The argument vector that runs `words` on the target. Only shell_command turns words into a shell's text.
  [[nodiscard]] std::vector<std::string> words(const std::vector<std::string>& words) const;
  // The same without a word of ssh itself: standard error is the command's alone.
  [[nodiscard]] std::vector<std::string> quiet_words(const std::vector<std::string>& words) const;
  // The same for `first | second`, run where the target is.
  [[nodiscard]] std::vector<std::string> piped_words(const std::vector<std::string>& first,
                                                     const std::vector<std::string>& second) const;

  // Runs `words` on the target to their end. A program that is not there ends with 127, as in a shell.
  [[nodiscard]] ProcessOutput capture(const std::vector<std::string>& words) const;

  // Ends the shared connection, if there is one.
  void close() const;

 private:
  Target target_;
  std::vector<std::string> ssh_;  // empty: this machine
};

}  // namespace trainer
