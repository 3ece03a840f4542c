// A program started with an argument vector, no shell in between: its output piece by piece as it comes, its
// end, and a way to act while it runs.
//   run_process({.words = {"docker", "logs", "--follow", "--", id}, .out = [](std::string_view text) { ...
//   }});
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

// The program could not be started: it is not there, or may not be run.
class ProcessError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Output = std::function<void(std::string_view)>;

struct ProcessCall {
  std::vector<std::string> words;      // the program, found in PATH, and its arguments
  std::vector<std::string> variables;  // "NAME=value", over this program's own
  // Pieces of its standard output and standard error. Without one that stream is this program's own.
  Output out;
  Output err;
  int input = -1;                  // descriptor of its standard input; none: /dev/null
  bool keeps_input = false;        // standard input is this program's own
  bool own_group = false;          // a Ctrl-C on the terminal does not reach it
  std::function<int()> each_tick;  // called ten times a second; a signal to send to it, or 0
};

struct ProcessEnd {
  int code = -1;   // exit status; 128 + signal for a death by signal, as a shell has it
  int signal = 0;  // that it died by
};

// Runs it to its end. What it left open for others (the master of a shared ssh connection) is not waited for.
// An exception of a callback ends the program with SIGTERM and goes on its way. Throws ProcessError.
ProcessEnd run_process(const ProcessCall& call);

struct ProcessOutput {
  int code = -1;
  std::string out;
  std::string err;
};

// The same with all of its output, which may be long: what goes beyond 16 MiB is an error (ProcessError).
[[nodiscard]] ProcessOutput capture_process(std::vector<std::string> words, int input = -1);

// What `from` writes to its standard output is read by `to`, as `from | to` of a shell has it. `notices` gets
// both standard errors. The ends are those of `from` and `to`.
struct PipeEnds {
  ProcessEnd from;
  ProcessEnd to;
};
PipeEnds run_pipe(const std::vector<std::string>& from, const std::vector<std::string>& to,
                  const Output& notices);

}  // namespace trainer
