// sigaction, because signal() leaves open whether a handler survives its first call.
#include "trainer/system/signals.hpp"

#include <atomic>
#include <cstdint>
#include <ctime>
#include <unistd.h>

namespace trainer {
namespace {

// The only variables of the program outside any object: a signal handler is a plain function that receives only a number, so it
// can reach no object. They are lock-free, as a handler requires.
std::atomic<int> requested_stop{0};
std::atomic<std::int64_t> requested_at{0};  // milliseconds
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);

// timeout(1) signals its child and then the process group of that child: one request that arrives twice.
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
  const bool first = requested_stop.compare_exchange_strong(none, signal == SIGINT ? SIGINT : SIGTERM);
  if (!first && now - requested_at > kSameRequest) _exit(128 + signal);
}

void end_at_once(int signal) {
  _exit(128 + signal);
}

void handle(int signal, void (*handler)(int), int flags, struct sigaction* former) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, former);
}

}  // namespace

void end_on_signals_as_first_process() {
  if (getpid() != 1) return;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) handle(signal, end_at_once, 0, nullptr);
}

void hold_stop_requests(bool hold) {
  sigset_t requests;
  sigemptyset(&requests);
  sigaddset(&requests, SIGUSR1);
  pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &requests, nullptr);
}

SignalGuard::SignalGuard() {
  requested_stop = 0;
  requested_at = 0;
  for (std::size_t i = 0; i < kGuarded.size(); ++i) {
    const bool is_request = kGuarded[i] != SIGPIPE && kGuarded[i] != SIGXFSZ;
    handle(kGuarded[i], is_request ? request_stop : SIG_IGN, SA_RESTART, &former_[i]);
    // Under nohup SIGHUP is ignored, and stays so.
    if (kGuarded[i] == SIGHUP && former_[i].sa_handler == SIG_IGN) sigaction(SIGHUP, &former_[i], nullptr);
  }
  hold_stop_requests(false);
}

SignalGuard::~SignalGuard() {
  for (std::size_t i = 0; i < kGuarded.size(); ++i) sigaction(kGuarded[i], &former_[i], nullptr);
}

int SignalGuard::stop_signal() const {
  return requested_stop.load(std::memory_order_relaxed);
}

}  // namespace trainer
