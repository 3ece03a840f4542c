// Durations in seconds, measured with the steady clock: changes of the time of day do not affect them. And the time of day.
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

// Seconds since 1970, by the time of day.
inline double time_of_day() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace trainer
