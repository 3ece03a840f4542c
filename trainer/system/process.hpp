// Starts programs with an argument vector, without a shell in between, and restarts this program. run_process and capture_process
// wait for the end; a Process runs beside this program:
//   Process process({.words = {"docker", "logs", "--follow", "--", id}, .out = show});
//   while (process.pump()) process.send(signal_to_send());
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "trainer/system/files.hpp"

namespace trainer {

// The program could not be started: it does not exist, or may not be run.
class ProcessError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Output = std::function<void(std::string_view)>;

struct ProcessCall {
  std::vector<std::string> words;           // the program, found in PATH, and its arguments
  std::vector<std::string> variables = {};  // "NAME=value", added to this program's environment
  // Called with each piece of standard output and standard error. A stream without a function goes to its file, which is created
  // anew and stays however the program ends; without a file, it goes to this program's own stream.
  Output out = {};
  Output err = {};
  std::filesystem::path out_file = {};
  std::filesystem::path err_file = {};
  bool keeps_input = false;  // standard input is this program's own; otherwise it is empty
  bool own_group = false;    // a Ctrl-C on the terminal does not reach it
};

struct ProcessEnd {
  int code = -1;   // exit status; 128 + signal if a signal ended it, as in a shell
  int signal = 0;  // that ended it; 0: none
};

// A running program, which is killed if it still runs when the object is destroyed, for instance by an exception from `out`.
class Process {
 public:
  // Descriptors that replace its standard input and output; -1: none.
  struct Plumbing {
    int in = -1;
    int out = -1;
  };
  explicit Process(const ProcessCall& call) : Process(call, Plumbing{}) {}  // throws ProcessError
  Process(const ProcessCall& call, const Plumbing& plumbing);
  ~Process() { finish(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Delivers what it has written to `out` and `err`, after waiting for that up to a tenth of a second. Returns false once it
  // has ended and everything is delivered; other processes that hold its pipes (the master of a shared ssh connection) are
  // not waited for.
  bool pump();
  bool has_ended();                                      // looks, without waiting
  void send(int signal) const;                           // 0: nothing
  void finish();                                         // kills it if it still runs, and waits for its end
  [[nodiscard]] ProcessEnd end() const { return end_; }  // once it has ended

 private:
  struct Source {
    Descriptor descriptor;  // the read end of a pipe; closed when the pipe ends
    Output sink;
  };

  bool read_pieces(int milliseconds);
  void note(int status);

  std::array<Source, 2> sources_;
  pid_t child_ = 0;  // 0: it has ended
  ProcessEnd end_;
};

// Runs a program to its end. Throws ProcessError, and what `out` and `err` throw.
ProcessEnd run_process(const ProcessCall& call);

inline constexpr int kProgramNotFound = 127;  // a shell's status for a program that does not exist

struct ProcessOutput {
  int code = -1;
  std::string out;
  std::string err;
};

// The same, with all of its output. Throws ProcessError if that is more than 16 MiB.
[[nodiscard]] ProcessOutput capture_process(std::vector<std::string> words, bool own_group = false);

// `from | to`, as in a shell: `to` reads the output of `from`.
struct PipeOutput {
  ProcessOutput from;  // its standard error alone
  ProcessOutput to;
};
[[nodiscard]] PipeOutput capture_pipe(std::vector<std::string> from, std::vector<std::string> to,
                                      bool own_group = false);

}  // namespace trainer
