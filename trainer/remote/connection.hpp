// Commands reach a target directly on this machine and through ssh elsewhere. All commands to one target share one connection
// (ControlMaster), which stays open for a minute after the last command, so that only the first pays for the handshake.
// Keepalives notice a lost connection within 15 seconds. The connection's socket is in a folder that belongs to the user alone.
// Port, user, keys and jump hosts come from the user's ssh configuration unless the target says otherwise; its commands, forwards
// and terminals are switched off. Any login shell will do: it sees only characters of a safe alphabet, and its own output is skipped.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "kernels/gpu_host/known_failures.hpp"
#include "trainer/remote/target.hpp"
#include "trainer/system/process.hpp"

namespace trainer {

// The only conversion of an argument vector to a shell's text: every word is quoted such that a POSIX shell gives exactly that
// word back ('it'\''s'). Words of harmless characters stay as they are. Throws UsageError for a zero byte, which no argument
// can hold.
[[nodiscard]] std::string shell_word(std::string_view word);
[[nodiscard]] std::string shell_command(const Words& words);

// ssh passes its command to the user's login shell as one text. This one has /bin/sh run `text`, whichever shell that is: between
// its single quotes are harmless characters and octal numbers (\0041) alone, which sh, csh, fish and zsh read alike, in words of
// at most 900 characters, since an old csh accepts no longer words.
[[nodiscard]] std::string login_shell_command(std::string_view text);

// The line that goes before the answer of a command on another machine, on standard output and standard error. What comes before it
// is the login's own: greetings, warnings.
inline constexpr std::string_view kAnswerMark = "mnist-trainer-answers:";

// Passes on the pieces of a stream that come after its mark.
class AnswerStream {
 public:
  explicit AnswerStream(bool is_marked) : waits_(is_marked) {}
  std::string_view operator()(std::string_view piece);

 private:
  bool waits_;
  std::string held_;
};

// Passes on the pieces of a training's output. A line that says how to continue names the run's folder in the container, which ends
// with it; here it names `folder`, unless that is empty.
class ResumeLine {
 public:
  explicit ResumeLine(const fs::path& folder) : folder_(folder.string()) {}
  std::string operator()(std::string_view piece);

 private:
  std::string folder_;
  std::string held_;  // the beginning of a line that may be such a one
  bool passes_ = false;
};

// The path with the user's home folder for a "~/" at its beginning.
[[nodiscard]] std::string without_tilde(const std::string& path);

// The folder of ssh's sockets, which is made if it does not exist: mnist-trainer in `runtime_folder` ($XDG_RUNTIME_DIR), or
// /tmp/mnist-trainer-UID if that is empty, absent, closed to the user, too long for a socket's path or has characters that are
// special in ssh's configuration. Throws FileError if the folder does not belong to the user alone.
[[nodiscard]] fs::path control_folder(const fs::path& runtime_folder);

// ssh with its options for `target`, up to and with "--" and [user@]address. The command follows as one word.
[[nodiscard]] Words ssh_words(const Target& target, const fs::path& control_folder);

// The cause of a failure, with the program's own words in parentheses, and the next step. Both are from a row of failures/*.yaml
// if one matches: the row is found by the output of a command that failed on `target`, or by its key. Rows of ssh are for the
// output of ssh alone (kSshFailed, kTurnedAway), the others for that of the command.
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
  Connection(Target target, const fs::path& runtime_folder);

  [[nodiscard]] const Target& target() const { return target_; }

  // The argument vector that runs `words` on the target. With `quiet`, ssh itself writes nothing, so that standard error
  // holds only what the command writes.
  [[nodiscard]] Words words(const Words& words, bool quiet = false) const;
  // The same for `first | second`, with both programs on the target.
  [[nodiscard]] Words piped_words(const Words& first, const Words& second) const;
  // Whether the output of such words begins with kAnswerMark.
  [[nodiscard]] bool is_marked() const { return !ssh_.empty(); }
  // The output of such words without the mark and what is before it. The status is kTurnedAway if there is no mark although ssh
  // did not fail.
  [[nodiscard]] ProcessOutput answer(ProcessOutput output) const;

  // Pipes the output of `source`, a program of this machine, into `words` on the target; returns how both ended.
  [[nodiscard]] PipeOutput feed(const Words& source, const Words& words) const;

  // Runs `words` on the target until they end. If there is no such program, the status is 127, as in a shell.
  [[nodiscard]] ProcessOutput capture(const Words& words) const;
  // The same, but throws TargetError unless the status is 0.
  [[nodiscard]] ProcessOutput require(const Words& words) const;
  // explain_failure of an answer. A refused key is looked at: ssh does not say that it cannot open it. A refusal of Docker's socket
  // closes the shared connection, whose sessions keep the groups of its login.
  [[nodiscard]] Failure explain(const ProcessOutput& answer) const;
  // Throws the TargetError that explains a command's answer.
  [[noreturn]] void fail(const ProcessOutput& answer) const;

 private:
  [[nodiscard]] Words shell(const std::string& text) const;

  Target target_;
  Words ssh_;  // empty: this machine
};

inline constexpr int kSshFailed = 255;
inline constexpr int kTurnedAway = -2;  // the login ended without running the command

[[nodiscard]] std::string first_line(const std::string& output);
[[nodiscard]] std::string place_of(const Target& target);  // "me@vm.example.com"
void notice(const std::string& line);                      // prints it on standard error

}  // namespace trainer
