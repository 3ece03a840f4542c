// Commands reach a target directly on this machine and through ssh elsewhere; what ssh and docker say about a failure is
// explained here. All commands to one target share one connection (ControlMaster), which stays open for a minute after the
// last command, so that only the first pays for the handshake. Keepalives notice a lost connection within 15 seconds. The
// connection's socket is in a folder that belongs to the user alone.
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

// The only conversion of an argument vector to a shell's text. ssh passes its command to the user's shell on the other
// machine as one text, so every word is quoted such that a POSIX shell gives exactly that word back ('it'\''s'). Words of
// harmless characters stay as they are. Throws UsageError for a zero byte, which no argument can hold.
[[nodiscard]] std::string shell_word(std::string_view word);
[[nodiscard]] std::string shell_command(const std::vector<std::string>& words);

// The folder of ssh's sockets, which is made if it does not exist: mnist-trainer in `runtime_folder` ($XDG_RUNTIME_DIR), or
// /tmp/mnist-trainer-UID if that is empty, too long for a socket's path or has characters that are special in ssh's
// configuration. Throws FileError if the folder does not belong to the user alone.
[[nodiscard]] std::filesystem::path control_folder(const std::filesystem::path& runtime_folder);

// ssh with its options for `target`, up to and with "--" and user@address. The command follows as one word.
[[nodiscard]] std::vector<std::string> ssh_words(const Target& target,
                                                 const std::filesystem::path& control_folder);

// The cause of a failure and the next step, taken from a row of failures/*.yaml if one matches: the row is found by the
// output of a command that failed on `target`, or by its key.
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

  // The argument vector that runs `words` on the target. With `quiet`, ssh itself writes nothing, so that standard error
  // holds only what the command writes.
  [[nodiscard]] std::vector<std::string> words(const std::vector<std::string>& words,
                                               bool quiet = false) const;
  // The same for `first | second`, with both programs on the target.
  [[nodiscard]] std::vector<std::string> piped_words(const std::vector<std::string>& first,
                                                     const std::vector<std::string>& second) const;

  // Runs `words` on the target until they end. If there is no such program, the status is 127, as in a shell.
  [[nodiscard]] ProcessOutput capture(const std::vector<std::string>& words) const;
  // The same, but throws TargetError unless the status is 0.
  [[nodiscard]] ProcessOutput require(const std::vector<std::string>& words) const;
  // Throws the TargetError that explains a command's `output`.
  [[noreturn]] void fail(const ProcessOutput& output) const;

 private:
  [[nodiscard]] std::vector<std::string> shell(const std::string& text) const;

  Target target_;
  std::vector<std::string> ssh_;  // empty: this machine
};

inline constexpr int kSshFailed = 255;

[[nodiscard]] std::string first_line(const std::string& output);
void notice(const std::string& line);  // prints it on standard error

}  // namespace trainer
