// How commands reach a target, on this machine directly and elsewhere through ssh, and what ssh and docker say when
// something is wrong. All commands to one target share one connection (ControlMaster), which stays open for a minute
// after the last, so that only the first pays for the handshake; keepalives notice a lost line within 15 seconds. The
// connection's socket lies in a folder of the user's own.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/gpu_host/known_failures.hpp"
#include "trainer/remote/target.hpp"
#include "trainer/system/process.hpp"

namespace trainer {

// The one way from an argument vector to a shell: ssh hands its command to the user's shell on the other machine as one
// text, so every word is quoted such that a POSIX shell gives exactly that word back ('it'\''s'). Words of harmless
// characters stay as they are. Throws UsageError for a zero byte, which no argument can hold.
[[nodiscard]] std::string shell_word(std::string_view word);
[[nodiscard]] std::string shell_command(const std::vector<std::string>& words);

// $XDG_RUNTIME_DIR/mnist-trainer, or mnist-trainer-UID in the system's folder for temporary files where that
// is not set, is too long for a socket's path or holds characters that ssh's configuration gives a meaning.
// Made if it is not there. Throws FileError where the folder is not the user's own.
[[nodiscard]] std::filesystem::path control_folder(const std::filesystem::path& runtime_folder);

// ssh with its options for `target`, up to and with "--" and user@address. The command follows as one word.
[[nodiscard]] std::vector<std::string> ssh_words(const Target& target,
                                                 const std::filesystem::path& control_folder);

// The cause and the next step, by a row of failures/*.yaml where one is known: of a command for `target` that failed
// with `output`, or of a row's key.
[[nodiscard]] Failure explain_failure(const Target& target, const ProcessOutput& output);
[[nodiscard]] Failure target_failure(const Target& target, std::string_view key);

// A command on a target failed; what() is one line with the target's name, the cause and the next step.
class TargetError : public std::runtime_error {
 public:
  TargetError(const Target& target, const Failure& failure)
      : std::runtime_error("target " + target.name + ": " + failure.text(": ")) {}
};

class Connection {
 public:
  // `runtime_folder` as control_folder takes it.
  Connection(Target target, const std::filesystem::path& runtime_folder);

  [[nodiscard]] const Target& target() const { return target_; }

  // The argument vector that runs `words` on the target. `quiet`: without a word of ssh itself, so that standard error is
  // the command's alone.
  [[nodiscard]] std::vector<std::string> words(const std::vector<std::string>& words,
                                               bool quiet = false) const;
  // The same for `first | second`, run where the target is.
  [[nodiscard]] std::vector<std::string> piped_words(const std::vector<std::string>& first,
                                                     const std::vector<std::string>& second) const;

  // Runs `words` on the target to their end. A program that is not there ends with 127, as in a shell.
  [[nodiscard]] ProcessOutput capture(const std::vector<std::string>& words) const;
  // Throws TargetError unless they end with 0.
  [[nodiscard]] ProcessOutput require(const std::vector<std::string>& words) const;
  // Throws TargetError for a command that ended with `output`.
  [[noreturn]] void fail(const ProcessOutput& output) const;

 private:
  [[nodiscard]] std::vector<std::string> shell(const std::string& text) const;

  Target target_;
  std::vector<std::string> ssh_;  // empty: this machine
};

inline constexpr int kSshFailed = 255;

[[nodiscard]] std::string first_line(const std::string& output);
void notice(const std::string& line);  // on standard error

}  // namespace trainer
