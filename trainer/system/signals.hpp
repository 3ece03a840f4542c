// Stopping on request: the first SIGINT, SIGTERM or SIGHUP sets a flag that the training loop looks at, so
// that it can finish its step and save; the second ends the process at once. Output into a closed pipe or
// past a file-size limit becomes an error of the write instead of a death of the process.
// Outside a training signals do what they do by default, in a container's first process too.
#pragma once

#include <array>
#include <csignal>

namespace trainer {

// A container's first process (number 1) gets no signal that it has no handler for, so Ctrl-C and `docker
// stop` would do nothing. There, SIGINT, SIGTERM and SIGHUP get one that ends the program with 128 + signal,
// as their default would; elsewhere nothing changes.
void end_on_signals_as_first_process();

// The handlers are in place while the object lives; then the former ones return. One object at a time.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

  // 0, or the signal that asked for a stop: SIGINT or SIGTERM (SIGHUP, a closed terminal, counts as SIGTERM).
  // The exit status that reports it is 128 + this. Cheap enough for every step.
  [[nodiscard]] int stop_signal() const;

 private:
  static constexpr std::array kGuarded{SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};
  std::array<struct sigaction, kGuarded.size()> former_{};
};

}  // namespace trainer
