// Durations in seconds, measured with the steady clock: changes of the time of day do not affect them.
#pragma once

#include <chrono>

namespace trainer {

using Clock = std::chrono::steady_clock;

inline double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

inline double seconds_since(Clock::time_point start) {
  return seconds_between(start, Clock::now());
}

}  // namespace trainer
