// The learning rate (and momentum) of a step as a pure function of its number, so that a recorded step can
// compute it on the device. Every schedule counts steps from 0; "epoch" is the number of epochs completed
// before the step's first image.
#pragma once

#include <cstdint>

#include "kernels/math/functions.hpp"

namespace trainer {

enum class ScheduleKind : std::uint8_t {
  constant,     // rate
  steps,        // rate * the value in force at the epoch
  exponential,  // rate * decay^epoch
  inverse,      // rate * (1 + gamma * step)^-power  (Caffe's "inv")
  one_cycle,    // cosine up from rate / start_divisor, then cosine down to rate / start_divisor / end_divisor
                // (Smith 2018, as in PyTorch)
  cosine,       // rate * (end + (1 - end) * (1 + cos(pi * step / steps)) / 2)  (Loshchilov and Hutter 2017)
  linear,       // linearly up from rate * start over the warm-up, then linearly down towards rate * end
};

// A value that changes at given epochs: value[i] is in force from epoch from[i] on; from[0] is 0.
struct Pieces {
  static constexpr int kMost = 8;
  int count = 0;
  std::uint32_t from[kMost] = {};
  float value[kMost] = {};
};

HOST_DEVICE float piece_at(const Pieces& p, std::uint64_t epoch) {
  float value = p.value[0];
  for (int i = 1; i < p.count; ++i) {
    if (epoch >= p.from[i]) value = p.value[i];
  }
  return value;
}

struct Schedule {
  ScheduleKind kind = ScheduleKind::constant;
  float rate = 0.01F;   // the base; the peak of one_cycle
  Pieces pieces;        // steps: factors of `rate`
  float decay = 1;      // exponential
  float gamma = 0;      // inverse
  float power = 0;      // inverse
  float warmup = 0.3F;  // one_cycle, linear: fraction of the steps in which the rate rises
  float start_divisor = 25;
  float end_divisor = 1e4F;
  float start = 0;          // linear: first rate as a fraction of `rate`
  float end = 0;            // cosine, linear: last rate as a fraction of `rate`
  std::uint64_t steps = 0;  // length of the whole run
};

// Goes from `start` at u = 0 to `end` at u = 1 along half a cosine.
HOST_DEVICE double cosine_between(double start, double end, double u) {
  return end + (start - end) / 2 * (1 + cosine_of_pi(u));
}

// PyTorch's OneCycleLR: the peak is reached at step warmup * steps - 1, the end at step steps - 1.
HOST_DEVICE double one_cycle_rate(const Schedule& s, std::uint64_t step) {
  const double start = exact_quotient(static_cast<double>(s.rate), static_cast<double>(s.start_divisor));
  const double end = exact_quotient(start, static_cast<double>(s.end_divisor));
  const double peak_at = static_cast<double>(s.warmup) * static_cast<double>(s.steps) - 1;
  const double last = static_cast<double>(s.steps) - 1;
  const double now = static_cast<double>(step) < last ? static_cast<double>(step) : last;
  if (now <= peak_at) return cosine_between(start, s.rate, peak_at > 0 ? exact_quotient(now, peak_at) : 1);
  return cosine_between(s.rate, end, last > peak_at ? exact_quotient(now - peak_at, last - peak_at) : 1);
}

// Evaluated at the middle of the step, so that neither end is quite reached.
HOST_DEVICE double linear_rate(const Schedule& s, std::uint64_t step) {
  const double u =
      s.steps > 0 ? exact_quotient(static_cast<double>(step) + 0.5, static_cast<double>(s.steps)) : 0;
  const double warmup = s.warmup;
  if (u < warmup) return s.rate * (s.start + exact_quotient((1 - static_cast<double>(s.start)) * u, warmup));
  const double left = u < 1 ? exact_quotient(1 - u, 1 - warmup) : 0;
  return s.rate * (s.end + (1 - static_cast<double>(s.end)) * left);
}

HOST_DEVICE float learning_rate(const Schedule& s, std::uint64_t step, std::uint64_t epoch) {
  const double rate = s.rate;
  switch (s.kind) {
    case ScheduleKind::constant:
      return s.rate;
    case ScheduleKind::steps:
      return static_cast<float>(rate * piece_at(s.pieces, epoch));
    case ScheduleKind::exponential:
      return static_cast<float>(rate * power_of(static_cast<double>(s.decay), static_cast<double>(epoch)));
    case ScheduleKind::inverse:
      return static_cast<float>(rate * power_of(1 + static_cast<double>(s.gamma) * static_cast<double>(step),
                                                -static_cast<double>(s.power)));
    case ScheduleKind::one_cycle:
      return static_cast<float>(one_cycle_rate(s, step));
    case ScheduleKind::cosine: {
      const double u =
          s.steps > 0 ? exact_quotient(static_cast<double>(step), static_cast<double>(s.steps)) : 0;
      return static_cast<float>(cosine_between(rate, rate * s.end, u < 1 ? u : 1));
    }
    case ScheduleKind::linear:
      return static_cast<float>(linear_rate(s, step));
  }
  return s.rate;
}

}  // namespace trainer
