// Stopping on request: the first SIGINT, SIGTERM, SIGHUP or SIGUSR1 sets a flag that the training loop polls, so that it can finish its
// step and save; the second ends the process at once. Output into a closed pipe or past a file-size limit becomes a write error
// instead of killing the process. Outside a training, signals have their default effects, even in a container's first process.
#pragma once

#include <array>
#include <csignal>

namespace trainer {

// A container's first process (number 1) gets no signal for which it has no handler, so Ctrl-C and `docker stop` would do
// nothing. There, SIGINT, SIGTERM and SIGHUP get a handler that ends the program with 128 + signal, as the default action would;
// elsewhere nothing changes.
void end_on_signals_as_first_process();

// A SIGUSR1 waits for the SignalGuard instead of ending the program: a launcher may ask ranks to stop that are still starting.
void hold_stop_requests(bool hold = true);

// The handlers are in place while the object lives; then the former ones are restored. Only one object may live at a time.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

  // 0, or the signal that asked for a stop: SIGINT or SIGTERM (SIGHUP, a closed terminal, and SIGUSR1, which mpirun forwards, count as SIGTERM).
  // The exit status that reports it is 128 + this. Cheap enough for every step.
  [[nodiscard]] int stop_signal() const;

 private:
  static constexpr std::array kGuarded{SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE, SIGXFSZ};
  std::array<struct sigaction, kGuarded.size()> former_{};
};

}  // namespace trainer
