// Where the ticks of an axis are, and where a value lies between its ends.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>

#include "trainer/report/report_page.hpp"

namespace trainer {

namespace {

constexpr int kMostTicks = 7;

struct Range {
  double low = 0;
  double high = 0;
  bool any = false;
};

Range finite_range(std::span<const double> values) {
  std::vector<double> finite;
  std::ranges::copy_if(values, std::back_inserter(finite), [](double value) { return std::isfinite(value); });
  if (finite.empty()) return {};
  const auto [low, high] = std::ranges::minmax(finite);
  return {low, high, true};
}

struct Round {
  double value;
  int digit;  // 1, 2 or 5
};

// The numbers 1, 2 and 5 times a power of ten, from the last that is at most `low` to the first that is at least `high`.
std::vector<Round> rounds_around(double low, double high) {
  std::vector<Round> all;
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  for (int power = static_cast<int>(std::floor(std::log10(low))); power <= last; ++power)
    for (const int digit : {1, 2, 5}) all.push_back({digit * std::pow(10, power), digit});
  const auto below = [&](const Round& round) { return round.value <= low * (1 + 1e-9); };
  const auto reached = [&](const Round& round) { return round.value >= high * (1 - 1e-9); };
  const auto first = std::find_if(all.rbegin(), all.rend(), below).base() - 1;
  return {first, std::find_if(all.begin(), all.end(), reached) + 1};
}

// The smallest of these numbers that divides `span` into fewer than kMostTicks steps.
double round_step(double span) {
  const double rough = span / (kMostTicks - 1);
  return rounds_around(rough, rough).back().value;
}

// It has as many decimals as ticks that are `step` apart need.
std::string tick_label(double value, double step) {
  if (step >= 1e6 || step < 1e-5) return fmt::format("{:g}", value);
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  return fmt::format("{:.{}f}", value == 0 ? 0.0 : value, decimals);
}

Axis with_linear_ticks(double low, double high, double step) {
  Axis axis{Axis::Scale::linear, low, high, {}};
  const auto last = static_cast<long long>(std::floor(high / step + 1e-9));
  for (auto i = static_cast<long long>(std::ceil(low / step - 1e-9)); i <= last; ++i)
    axis.ticks.push_back({static_cast<double>(i) * step, tick_label(static_cast<double>(i) * step, step)});
  return axis;
}

Axis round_axis(double low, double high) {
  const double step = round_step(high - low);
  return with_linear_ticks(std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, step);
}

// If the round numbers are few, all of them have ticks; else only the ones and fives, or only the powers of ten.
Axis power_axis(double low, double high) {
  const std::vector<Round> rounds = rounds_around(low, high);
  Axis axis{Axis::Scale::logarithmic, rounds.front().value, rounds.back().value, {}};
  for (const auto& [value, digit] : rounds) {
    if (rounds.size() <= 8 || digit == 1 || (rounds.size() <= 12 && digit == 5))
      axis.ticks.push_back({value, fmt::format(fmt::runtime(value < 0.00099 ? "{:.0e}" : "{:g}"), value)});
  }
  return axis;
}

// The axis on which 100 - value is where `powers` has the value.
Axis distance_axis(const Axis& powers) {
  Axis axis{Axis::Scale::distance_to_100, 100 - powers.high, 100 - powers.low, {}};
  for (auto tick = powers.ticks.rbegin(); tick != powers.ticks.rend(); ++tick)
    axis.ticks.push_back({100 - tick->value, fmt::format("{:g}", 100 - tick->value)});
  return axis;
}

}  // namespace

double Axis::position(double value) const {
  const auto place = [this](double v) {
    if (scale == Scale::logarithmic) return std::log(v);
    if (scale == Scale::distance_to_100) return -std::log(100 - v);
    return v;
  };
  return (place(std::clamp(value, low, high)) - place(low)) / (place(high) - place(low));
}

Axis axis_from_zero(std::span<const double> values) {
  const Range range = finite_range(values);
  return round_axis(std::min(0.0, range.low), range.high > 0 ? range.high : 1);
}

Axis epoch_axis(std::span<const double> values) {
  const Range range = finite_range(values);
  if (range.high - range.low >= 1)
    return with_linear_ticks(range.low, range.high, std::max(1.0, round_step(range.high - range.low)));
  const double only = range.any ? range.low : 1;
  return {Axis::Scale::linear, only - 1, only + 1, {{only, tick_label(only, 1)}}};
}

Axis loss_axis(std::span<const double> values) {
  std::vector<double> above_zero;
  std::ranges::copy_if(values, std::back_inserter(above_zero), [](double v) { return v > 0; });
  const Range range = finite_range(above_zero);
  if (!range.any || range.high < 20 * range.low) return axis_from_zero(values);
  return power_axis(std::max(range.low, range.high * 1e-8), range.high);
}

Axis accuracy_axis(std::span<const double> values, double resolution) {
  Range range = finite_range(values);
  if (range.high - range.low < 1e-6) {
    const double room = std::max(100 - range.high, 1.0) / 2;
    range = {range.low - room, range.high + room, true};
  }
  const double nearest = std::max(resolution / 2, 1e-4);
  const double least = std::max(100 - range.high, nearest);
  const double most = std::max(100 - range.low, nearest);
  if (most < 4 * least) return round_axis(std::max(range.low, 0.0), std::min(range.high, 100.0));
  return distance_axis(power_axis(least, std::min(most, 100.0)));
}

}  // namespace trainer
