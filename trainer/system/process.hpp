// Programs that are started with an argument vector, without a shell in between, and this program started anew.
// run_process and capture_process wait for the end; a Process runs beside this program:
//   Process process({.words = {"docker", "logs", "--follow", "--", id}, .out = show});
//   while (process.hand_on()) process.send(signal_to_send());
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

// The program could not be started: it is not there, or may not be run.
class ProcessError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Output = std::function<void(std::string_view)>;

struct ProcessCall {
  std::vector<std::string> words;           // the program, found in PATH, and its arguments
  std::vector<std::string> variables = {};  // "NAME=value", added to this program's environment
  // They get standard output and standard error piece by piece. A stream without one goes to its file, which is made
  // anew and outlives any end of the program, and without a file to this program's own stream.
  Output out = {};
  Output err = {};
  std::filesystem::path out_file = {};
  std::filesystem::path err_file = {};
  bool keeps_input = false;  // standard input is this program's own; otherwise it is empty
  bool own_group = false;    // a Ctrl-C on the terminal does not reach it
};

struct ProcessEnd {
  int code = -1;   // exit status; 128 + signal for a death by signal, as a shell has it
  int signal = 0;  // that it died by
};

// A program that runs. It is killed where nobody has waited for its end, an exception of `out` or `err` included.
class Process {
 public:
  // Descriptors that take the place of its standard input and output; -1: none.
  struct Plumbing {
    int in = -1;
    int out = -1;
  };
  explicit Process(const ProcessCall& call) : Process(call, Plumbing{}) {}  // throws ProcessError
  Process(const ProcessCall& call, const Plumbing& plumbing);
  ~Process() { finish(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Hands on what it has written, and waits for that up to a tenth of a second. False once it has ended and everything
  // is handed on; what it left open for others (the master of a shared ssh connection) is not waited for.
  bool hand_on();
  bool has_ended();             // looks, without waiting
  void send(int signal) const;  // 0: nothing
  void finish();                // kills it where it still runs, and waits for its end
  [[nodiscard]] ProcessEnd end() const { return end_; }  // once it has ended

 private:
  struct Source {
    Descriptor descriptor;  // of a pipe that is read; closed at its end
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

inline constexpr int kProgramNotFound = 127;  // what a shell says of a program that is not there

struct ProcessOutput {
  int code = -1;
  std::string out;
  std::string err;
};

// The same with all of its output. More than 16 MiB of it are an error (ProcessError).
[[nodiscard]] ProcessOutput capture_process(std::vector<std::string> words, bool own_group = false);

// `from | to`, as a shell has it: the output of `from` is what `to` reads.
struct PipeOutput {
  ProcessOutput from;  // its standard error alone
  ProcessOutput to;
};
[[nodiscard]] PipeOutput capture_pipe(std::vector<std::string> from, std::vector<std::string> to,
                                      bool own_group = false);

// Starts this program anew with GOMP_SPINCOUNT set, in the same process; OpenMP reads its environment before main. A thread of
// the pool spins for so long for the next piece of work before it sleeps. GNU OpenMP's default, about a millisecond, turns
// deadly on a machine that is busy with something else: a thread spins through its time slice while the one that it waits
// for does not run, and a training takes a hundred times as long. A short spin costs nothing on a quiet machine
// (benchmarks/NOTES.md). Does nothing where the user has chosen (GOMP_SPINCOUNT or OMP_WAIT_POLICY is set) or the program
// cannot be started anew.
void restart_with_short_spins(char** argv);

}  // namespace trainer
