// sigaction, because signal() leaves open whether a handler survives its first call.
#include "trainer/system/signals.hpp"

#include <atomic>
#include <cstdint>
#include <ctime>
#include <unistd.h>

namespace trainer {
namespace {

// The only variables of the program outside any object: a signal handler is a plain function that is handed
// nothing but a number, so there is no object that it could reach. Lock-free, as a handler needs.
std::atomic<int> requested_stop{0};
std::atomic<std::int64_t> requested_at{0};  // milliseconds
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);

// timeout(1) signals its child and then the child's process group: one request, which arrives twice.
constexpr std::int64_t kSameRequest = 50;  // milliseconds

std::int64_t milliseconds_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

// The time is set first: a second signal may arrive, on another thread, between the two.
void request_stop(int signal) {
  const std::int64_t now = milliseconds_now();
  std::int64_t unset = 0;
  requested_at.compare_exchange_strong(unset, now);
  int none = 0;
  const bool first = requested_stop.compare_exchange_strong(none, signal == SIGHUP ? SIGTERM : signal);
  if (!first && now - requested_at > kSameRequest) _exit(128 + signal);
}

void end_at_once(int signal) {
  _exit(128 + signal);
}

}  // namespace

void end_on_signals_as_first_process() {
  if (getpid() != 1) return;
  struct sigaction action {};
  action.sa_handler = end_at_once;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
}

void SignalGuard::install(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  Former former;
  former.signal = signal;
  if (sigaction(signal, &action, &former.action) == 0) former_.push_back(former);
}

SignalGuard::SignalGuard() {
  requested_stop = 0;
  requested_at = 0;
  former_.reserve(5);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) install(signal, request_stop);
  for (const int signal : {SIGPIPE, SIGXFSZ}) install(signal, SIG_IGN);
  // Under nohup a closed terminal is to be ignored, and stays so.
  for (const Former& former : former_)
    if (former.signal == SIGHUP && former.action.sa_handler == SIG_IGN)
      sigaction(SIGHUP, &former.action, nullptr);
}

SignalGuard::~SignalGuard() {
  for (const Former& former : former_) sigaction(former.signal, &former.action, nullptr);
}

int SignalGuard::stop_signal() const {
  return requested_stop.load(std::memory_order_relaxed);
}

}  // namespace trainer
