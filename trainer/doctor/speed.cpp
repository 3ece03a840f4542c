// The speed test, and how it is judged. Sizes grow until one launch takes long enough to be measured, so that the same code
// serves a small device and a large one. The host waits once for several launches, since a wait costs as much as a small product.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fmt/ranges.h>
#include <thread>

#include "kernels/backend.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/device/device_limits.hpp"
#include "trainer/device/machine_state.hpp"
#include "trainer/doctor/checks.hpp"

namespace trainer::doctor {

namespace {

constexpr double kLongEnough = 5e-4;  // seconds of one launch
constexpr double kRound = 5e-3;       // seconds of launches between waits
constexpr double kSeconds = 0.2;      // of one measurement

double once(Backend& backend, Microbenchmark& op) {
  return fastest_seconds(backend, 0, [&] { op.forward(); });
}

// The time of one launch in the fastest of many series of launches.
double seconds_in_a_row(Backend& backend, Microbenchmark& op) {
  const int launches = static_cast<int>(std::clamp(std::ceil(kRound / once(backend, op)), 1.0, 200.0));
  const double seconds = fastest_seconds(backend, kSeconds, [&] {
    for (int i = 0; i < launches; ++i) op.forward();
  });
  return seconds / launches;
}

// The first op of those that `make` gives for growing sizes that keeps the device busy for kLongEnough, or that of the largest size.
std::unique_ptr<Microbenchmark> long_op(Backend& backend, int largest, int* size, const auto& make) {
  for (;; *size *= 2) {
    auto op = std::make_unique<Microbenchmark>(backend, make(*size), *size);
    if (*size >= largest || once(backend, *op) >= kLongEnough) return op;
  }
}

// A ReLU is a copy through the device's memory, with each value read once and written once.
double copy_rate(Backend& backend) {
  constexpr int kColumns = 1 << 16;
  int rows = 64;
  const auto copy = long_op(backend, 2048, &rows, [](int) { return ReluDesc{{1, 1, kColumns}}; });
  const double bytes = 2.0 * kColumns * rows * static_cast<double>(element_bytes(backend.element()));
  return bytes / seconds_in_a_row(backend, *copy);
}

// What the sensors say while products run: clocks and power limits show only under load.
GpuSensors sensors_under_load(Backend& backend, Microbenchmark& product, const Nvml& nvml, GpuInfo gpu) {
  constexpr double kLoad = 0.15;
  const int launches = static_cast<int>(std::clamp(kLoad / once(backend, product), 1.0, 4000.0));
  for (int i = 0; i < launches; ++i) product.forward();
  std::this_thread::sleep_for(std::chrono::milliseconds(backend.runs_ahead() ? 75 : 0));
  nvml.read(&gpu);
  backend.wait();
  return gpu.sensors;
}

void measure_transfers(Backend& backend, SpeedFacts* speed) {
  constexpr std::size_t kBytes = 32ULL << 20U;
  std::vector<std::byte> host(kBytes, std::byte{1});
  Buffer device = backend.allocate(kBytes, "a measurement");
  constexpr double kShort = 0.05;
  speed->upload_bytes =
      kBytes / fastest_seconds(backend, kShort, [&] { backend.upload(device.data(), host.data(), kBytes); });
  speed->download_bytes = kBytes / fastest_seconds(backend, kShort, [&] {
                            backend.download(host.data(), device.data(), kBytes);
                          });
}

SpeedFacts measure_gpu(const std::string& device, const Nvml& nvml) {
  const DeviceChoice choice =
      choose_device({.device = device, .wanted = {.cpu = {}, .cuda = {Precision::bf16, Precision::fp16}}});
  Backend& backend = *choice.backend;
  const DeviceInfo info = backend.info();
  SpeedFacts speed;
  speed.gpu = true;
  speed.precision = precision_name(choice.precision);
  speed.sm_clock_peak_mhz = info.gpu->sm_clock_khz / 1000;
  int size = 256;
  const auto product = long_op(backend, 4096, &size, [](int features) {
    return DenseDesc{.in = features, .out = features, .bias = false, .relu = false};
  });
  product->fill();
  speed.flops = 2.0 * size * size * size / seconds_in_a_row(backend, *product);
  speed.flops_expected = expected_arithmetic(*info.gpu, speed.precision).per_second;
  speed.memory_bytes = copy_rate(backend);
  speed.memory_expected = expected_memory(*info.gpu).per_second;
  measure_transfers(backend, &speed);
  for (const GpuInfo& other : info.gpus)
    if (const auto rate = peer_bytes_per_second(info.gpu->index, other.index))
      speed.peers.push_back({other.index, *rate});
  speed.sensors = sensors_under_load(backend, *product, nvml, *info.gpu);
  return speed;
}

SpeedFacts measure_cpu() {
  const Precision precision = cpu_has(Precision::bf16) ? Precision::bf16 : Precision::fp32;
  const std::unique_ptr<Backend> backend = make_cpu_backend({.precision = precision});
  const DeviceInfo info = backend->info();
  const MachineState before = machine_state(info);
  SpeedFacts speed;
  speed.precision = precision_name(precision);
  if (before.load) speed.load = *before.load / before.processors;
  speed.flops = arithmetic_limit(*backend, info, speed.precision).per_second;
  speed.memory_bytes = memory_limit(*backend, info).per_second;
  return speed;
}

// Fractions of the peak that a healthy device reaches: large products in cuBLAS reach 65 to 95 %, copies about 90 %.
constexpr double kLeastFlops = 0.55;
constexpr double kLeastTraffic = 0.7;
constexpr double kLeastClock = 0.85;

// Three significant digits, or all digits before the decimal point if these are more.
std::string number_text(double value) {
  return value < 100 ? fmt::format("{:.3g}", value) : fmt::format("{:.0f}", value);
}

std::string rate_text(double measured, double expected, double unit, const char* name) {
  const std::string text = number_text(measured / unit) + " " + name;
  return expected > 0 ? text + " of " + number_text(expected / unit) : text;
}

bool is_below(const std::optional<int>& now, const std::optional<int>& peak) {
  return now && peak && *now < *peak;
}

double fraction(double measured, double expected) {
  return expected > 0 ? measured / expected : 1;
}

}  // namespace

SpeedFacts measure_speed(const std::string& device, const Nvml& nvml) {
  return device == "cpu" ? measure_cpu() : measure_gpu(device, nvml);
}

std::vector<std::string> reasons_for_slowness(const SpeedFacts& speed) {
  constexpr double kBusy = 0.25;
  const GpuSensors& sensors = speed.sensors;
  std::vector<std::string> reasons;
  const auto& limit = sensors.power_limit_watts;
  const auto& made_for = sensors.power_default_watts;
  if (limit && made_for && *limit <= 0.97 * *made_for)
    reasons.push_back(fmt::format("power cap {:.0f} W (made for {:.0f} W)", *limit, *made_for));
  const int clock = sensors.sm_clock_mhz.value_or(0);
  const int peak = sensors.sm_clock_peak_mhz.value_or(speed.sm_clock_peak_mhz);
  if (clock > 0 && clock < kLeastClock * peak)
    reasons.push_back(fmt::format("SM clock {} of {} MHz", clock, peak));
  if (is_below(sensors.pcie_lanes, sensors.pcie_lanes_peak))
    reasons.push_back(fmt::format("PCIe with {} of {} lanes", *sensors.pcie_lanes, *sensors.pcie_lanes_peak));
  if (is_below(sensors.pcie_generation, sensors.pcie_generation_peak))
    reasons.push_back(
        fmt::format("PCIe generation {} of {}", *sensors.pcie_generation, *sensors.pcie_generation_peak));
  for (const std::string& reason : sensors.throttle_reasons.value_or(std::vector<std::string>{}))
    if (reason != "idle") reasons.push_back("held back by: " + reason);
  if (sensors.processes.value_or(0) > 1)
    reasons.push_back(fmt::format("{} processes compute on it", *sensors.processes));
  if (speed.load.value_or(0) > kBusy)
    reasons.push_back(fmt::format("other programs load the processors ({:.0f} % busy)",
                                  std::min(100.0, 100 * *speed.load)));
  return reasons;
}

bool falls_short(const SpeedFacts& speed) {
  const GpuSensors& sensors = speed.sensors;
  return speed.gpu && (fraction(speed.flops, speed.flops_expected) < kLeastFlops ||
                       fraction(speed.memory_bytes, speed.memory_expected) < kLeastTraffic ||
                       is_below(sensors.pcie_lanes, sensors.pcie_lanes_peak) ||
                       is_below(sensors.pcie_generation, sensors.pcie_generation_peak));
}

std::string speed_text(const SpeedFacts& speed) {
  const bool large = std::max(speed.flops, speed.flops_expected) >= 1e12;
  const std::string flops = large ? rate_text(speed.flops, speed.flops_expected, 1e12, "TFLOP/s")
                                  : rate_text(speed.flops, speed.flops_expected, 1e9, "GFLOP/s");
  std::string text = fmt::format("{} in {}, memory {}", flops, speed.precision,
                                 rate_text(speed.memory_bytes, speed.memory_expected, 1e9, "GB/s"));
  if (speed.upload_bytes > 0)
    text += fmt::format(", copies {:.1f} GB/s to it and {:.1f} GB/s from it", speed.upload_bytes / 1e9,
                        speed.download_bytes / 1e9);
  for (const SpeedFacts::Peer& peer : speed.peers)
    text += fmt::format(", {:.1f} GB/s to cuda:{}", peer.bytes / 1e9, peer.device);
  if (speed.gpu && !falls_short(speed)) return text;
  const std::string why = fmt::format("{}", fmt::join(reasons_for_slowness(speed), ", "));
  if (!speed.gpu) return why.empty() ? text : text + "; " + why;
  return fmt::format("{}; this GPU runs at {:.0f} % of its class: {}", text,
                     100 * std::min(fraction(speed.flops, speed.flops_expected),
                                    fraction(speed.memory_bytes, speed.memory_expected)),
                     why.empty() ? "its sensors give no reason" : why);
}

}  // namespace trainer::doctor
