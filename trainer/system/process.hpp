// A program started with an argument vector, no shell in between. run_process and what follows it wait for
// its end and hand on its output as it comes; a Process runs beside this program.
//   run_process({.words = {"docker", "logs", "--follow", "--", id}, .out = [](std::string_view text) { ...
//   }});
#pragma once

#include <csignal>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/types.h>
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
  // Or a file each, made anew: what is written there outlives any end of the program.
  std::filesystem::path out_file;
  std::filesystem::path err_file;
  int input = -1;                  // descriptor of its standard input; none: /dev/null
  bool keeps_input = false;        // standard input is this program's own
  bool own_group = false;          // a Ctrl-C on the terminal does not reach it
  int last_signal = SIGTERM;       // ends it where nobody waits for it any more
  std::function<int()> each_tick;  // called ten times a second; a signal to send to it, or 0
};

struct ProcessEnd {
  int code = -1;   // exit status; 128 + signal for a death by signal, as a shell has it
  int signal = 0;  // that it died by
};

// A program that runs. One that nobody waited for is ended.
class Process {
 public:
  // Descriptors of its standard streams, over what the call says of them; -1: none.
  struct Streams {
    int in = -1;
    int out = -1;
    int err = -1;
  };
  // Starts it; of the call, out, err and each_tick are left to run_process. Throws ProcessError.
  explicit Process(const ProcessCall& call) : Process(call, {call.input, -1, -1}) {}
  Process(const ProcessCall& call, const Streams& streams);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool has_ended();                        // looks, without waiting
  void send(int signal) const;             // 0: nothing
  void finish();                           // sends it the call's last_signal, and waits for its end
  ProcessEnd end() const { return end_; }  // once it has ended

 private:
  void note(int status);

  pid_t child_ = 0;  // 0: it has ended
  int last_signal_;
  ProcessEnd end_;
};

// Runs it to its end. What it left open for others (the master of a shared ssh connection) is not waited for.
// An exception of a callback ends the program with SIGTERM and goes on its way. Throws ProcessError.
ProcessEnd run_process(const ProcessCall& call);

inline constexpr int kProgramNotFound = 127;  // what a shell says of a program that is not there

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
