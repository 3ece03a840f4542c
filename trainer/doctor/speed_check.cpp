// How a measured speed is judged, and why a device falls short: what its sensors said under load.
#include <algorithm>
#include <fmt/format.h>

#include "trainer/doctor/checks.hpp"
#include "trainer/doctor/speed.hpp"

namespace trainer::doctor {

namespace {

// Shares of the peak that a healthy device reaches: large products in cuBLAS do 65 to 95 %, copies about 90
// %.
constexpr double kLeastFlops = 0.55;
constexpr double kLeastMemoryShare = 0.7;
constexpr double kLeastClock = 0.85;

// Three digits, or more where the number has them.
std::string number_text(double value) {
  return value < 100 ? fmt::format("{:.3g}", value) : fmt::format("{:.0f}", value);
}

std::string rate_text(double measured, double expected, double unit, const char* name) {
  const std::string text = number_text(measured / unit) + " " + name;
  return expected > 0 ? text + " of " + number_text(expected / unit) : text;
}

std::string power_reason(const SpeedFacts& speed) {
  const auto& limit = speed.sensors.power_limit_watts;
  const auto& made_for = speed.condition.power_default_watts;
  if (!limit || !made_for || *limit > 0.97 * *made_for) return "";
  return fmt::format("power cap {:.0f} W (made for {:.0f} W)", *limit, *made_for);
}

std::string clock_reason(const SpeedFacts& speed) {
  const int now = speed.sensors.sm_clock_mhz.value_or(0);
  const int peak = speed.condition.sm_clock_peak_mhz.value_or(speed.sm_clock_peak_mhz);
  if (now == 0 || peak == 0 || now >= kLeastClock * peak) return "";
  return fmt::format("SM clock {} of {} MHz", now, peak);
}

std::string link_reason(const SpeedFacts& speed) {
  const GpuCondition& c = speed.condition;
  if (!c.pcie_lanes || !c.pcie_lanes_peak || *c.pcie_lanes >= *c.pcie_lanes_peak) return "";
  return fmt::format("PCIe with {} of {} lanes", *c.pcie_lanes, *c.pcie_lanes_peak);
}

double fraction(double measured, double expected) {
  return expected > 0 ? measured / expected : 1;
}

}  // namespace

std::vector<std::string> reasons_for_slowness(const SpeedFacts& speed) {
  std::vector<std::string> reasons;
  for (const std::string& reason : {power_reason(speed), clock_reason(speed), link_reason(speed)})
    if (!reason.empty()) reasons.push_back(reason);
  for (const std::string& reason : speed.sensors.throttle_reasons.value_or(std::vector<std::string>{}))
    if (reason != "idle") reasons.push_back("held back by: " + reason);
  if (speed.condition.processes.value_or(0) > 1)
    reasons.push_back(fmt::format("{} processes compute on it", *speed.condition.processes));
  constexpr double kBusy = 0.25;
  if (speed.load.value_or(0) > kBusy)
    reasons.push_back(fmt::format("other programs load the processors ({:.0f} % busy)",
                                  std::min(100.0, 100 * *speed.load)));
  return reasons;
}

Check check_speed(const SpeedFacts& speed) {
  const bool large = std::max(speed.flops, speed.flops_expected) >= 1e12;
  const std::string flops = large ? rate_text(speed.flops, speed.flops_expected, 1e12, "TFLOP/s")
                                  : rate_text(speed.flops, speed.flops_expected, 1e9, "GFLOP/s");
  std::string finding = fmt::format("{} in {}, memory {}", flops, speed.precision,
                                    rate_text(speed.memory_bytes, speed.memory_expected, 1e9, "GB/s"));
  if (speed.upload_bytes > 0) {
    finding += fmt::format(", copies {:.1f} GB/s to it and {:.1f} GB/s from it", speed.upload_bytes / 1e9,
                           speed.download_bytes / 1e9);
  }
  const double flops_fraction = fraction(speed.flops, speed.flops_expected);
  const double memory_fraction = fraction(speed.memory_bytes, speed.memory_expected);
  const std::vector<std::string> reasons = reasons_for_slowness(speed);
  const std::string why = reasons.empty() ? "" : fmt::format("{}", fmt::join(reasons, ", "));
  if (!speed.gpu) return {CheckState::ok, "speed", why.empty() ? finding : finding + "; " + why};
  if (flops_fraction >= kLeastFlops && memory_fraction >= kLeastMemoryShare && link_reason(speed).empty())
    return {CheckState::ok, "speed", finding};
  return {CheckState::note, "speed",
          fmt::format("{}; this GPU runs at {:.0f} % of its class: {}", finding,
                      100 * std::min(flops_fraction, memory_fraction),
                      why.empty() ? "its sensors give no reason" : why)};
}

}  // namespace trainer::doctor
