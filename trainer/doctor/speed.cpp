// Sizes grow until one launch takes long enough to be measured, so that the same code serves a small device
// and a large one; several launches are then waited for at once, since a wait costs as much as a small
// product.
#include "trainer/doctor/speed.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include <thread>

#include "kernels/backend.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/device/device_limits.hpp"
#include "trainer/device/lone_op.hpp"
#include "trainer/device/machine_state.hpp"

namespace trainer::doctor {

namespace {

constexpr double kLongEnough = 5e-4;  // seconds of one launch
constexpr double kRound = 5e-3;       // seconds of launches between waits
constexpr double kSeconds = 0.2;      // of a measurement

// How often an op that takes `seconds` is launched between waits.
int launches_of(double seconds) {
  return static_cast<int>(std::clamp(std::ceil(kRound / seconds), 1.0, 200.0));
}

double once(Backend& backend, LoneOp& op) {
  return fastest_seconds(backend, 0, [&] { op.forward(); });
}

// Of the fastest of many launches, each as one of a row of them.
double seconds_in_a_row(Backend& backend, LoneOp& op) {
  const int launches = launches_of(once(backend, op));
  const double seconds = fastest_seconds(backend, kSeconds, [&] {
    for (int i = 0; i < launches; ++i) op.forward();
  });
  return seconds / launches;
}

// The largest square product that is needed to keep the device busy for kLongEnough.
std::unique_ptr<LoneOp> long_product(Backend& backend, int* edge) {
  constexpr int kLargestEdge = 4096;
  for (*edge = 256;; *edge *= 2) {
    const DenseDesc desc{.in = *edge, .out = *edge, .bias = false, .relu = false};
    auto product = std::make_unique<LoneOp>(backend, desc, *edge);
    if (*edge >= kLargestEdge || once(backend, *product) >= kLongEnough) return product;
  }
}

// Likewise, a copy through the device's memory, as a ReLU: read once, written once.
std::unique_ptr<LoneOp> long_copy(Backend& backend, int* rows) {
  constexpr int kColumns = 1 << 16;
  constexpr int kMostRows = 2048;
  for (*rows = 64;; *rows *= 2) {
    auto copy = std::make_unique<LoneOp>(backend, ReluDesc{{1, 1, kColumns}}, *rows);
    if (*rows >= kMostRows || once(backend, *copy) >= kLongEnough) return copy;
  }
}

double copy_rate(Backend& backend) {
  constexpr double kColumns = 1 << 16;
  int rows = 0;
  const std::unique_ptr<LoneOp> copy = long_copy(backend, &rows);
  const double bytes = 2 * kColumns * rows * static_cast<double>(element_bytes(backend.element()));
  return bytes / seconds_in_a_row(backend, *copy);
}

// Products for a moment, at which the sensors are read: clocks and power limits show only under load.
NvmlReading reading_under_load(Backend& backend, LoneOp& product, const Nvml& nvml, const std::string& id) {
  constexpr double kLoad = 0.15;
  const int launches = static_cast<int>(std::clamp(kLoad / once(backend, product), 1.0, 4000.0));
  for (int i = 0; i < launches; ++i) product.forward();
  std::this_thread::sleep_for(std::chrono::milliseconds(backend.runs_ahead() ? 75 : 0));
  NvmlReading reading = nvml.read(id);
  backend.wait();
  return reading;
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
  int edge = 0;
  const std::unique_ptr<LoneOp> product = long_product(backend, &edge);
  product->fill();
  speed.flops = 2.0 * edge * edge * edge / seconds_in_a_row(backend, *product);
  speed.flops_expected = expected_arithmetic(*info.gpu, speed.precision).per_second;
  speed.memory_bytes = copy_rate(backend);
  speed.memory_expected = expected_memory(*info.gpu).per_second;
  measure_transfers(backend, &speed);
  for (const GpuInfo& other : info.gpus) {
    if (const auto rate = peer_bytes_per_second(info.gpu->index, other.index))
      speed.peers.push_back({other.index, *rate});
  }
  const NvmlReading reading = reading_under_load(backend, *product, nvml, info.gpu->pci_bus_id);
  speed.sensors = reading.sensors;
  speed.condition = reading.condition;
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

}  // namespace

SpeedFacts measure_speed(const std::string& device, const Nvml& nvml) {
  return device == "cpu" ? measure_cpu() : measure_gpu(device, nvml);
}

}  // namespace trainer::doctor
