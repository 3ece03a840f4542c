// Ends the process when a call into MPI does not return in time: MPI_Init and MPI_Finalize wait for all ranks without a limit, and
// any call may hang once a rank has been killed while it held a lock in shared memory.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>

#include "trainer/ranks/launch.hpp"

namespace trainer {

class Watchdog {
 public:
  // `text` is called on the watchdog's thread and returns the line to print; empty: none.
  explicit Watchdog(std::function<std::string()> text) : text_(std::move(text)) {}

  // From now on the process ends with kRankLostStatus after so many seconds. Those in which it is frozen do not count.
  void set(double seconds) { ticks_ = static_cast<int>(seconds * kTicks) + 1; }
  void clear() { ticks_ = 0; }

 private:
  static constexpr int kTicks = 10;  // a second

  void watch(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      changed_.wait_for(lock, stop, std::chrono::milliseconds(1000 / kTicks), [] { return false; });
      int ticks = ticks_;
      if (ticks == 0 || !ticks_.compare_exchange_strong(ticks, ticks - 1) || ticks > 1) continue;
      std::string text = text_();
      if (!text.empty()) text.insert(0, "error: ").push_back('\n');
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
      std::this_thread::sleep_for(
          std::chrono::milliseconds(300));  // in which the others see that this one is here
      _exit(kRankLostStatus);
    }
  }

  std::function<std::string()> text_;
  std::atomic<int> ticks_{0};  // that are left; 0: no limit
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_{[this](const std::stop_token& stop) { watch(stop); }};
};

}  // namespace trainer
