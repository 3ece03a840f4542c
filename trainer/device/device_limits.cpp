// The table of GPUs, and the two measurements through the ops themselves.
#include "trainer/device/device_limits.hpp"

#include <fmt/format.h>

#include "kernels/gpu_host/gpu_architectures.hpp"
#include "trainer/device/lone_op.hpp"

namespace trainer {

namespace {

struct ClockRate {
  int from = 0;  // compute capability; holds up to the next row's
  int fp32 = 0;
  int tf32 = 0;
  int half = 0;  // fp16
  int bf16 = 0;
};

constexpr ClockRate kClockRates[] = {
    {75, 128, 0, 1024, 0},        {80, 128, 1024, 2048, 2048},
    {86, 256, 256, 512, 512},     {90, 256, 2048, 4096, 4096},
    {100, 256, 4096, 8192, 8192}, {110, 0, 0, 0, 0},
    {120, 256, 256, 512, 512},    {122, 0, 0, 0, 0},
};

}  // namespace

std::optional<int> flops_per_clock(int major, int minor, const std::string& precision) {
  const int capability = capability_number(major, minor);
  ClockRate rate;
  for (const ClockRate& row : kClockRates)
    if (row.from <= capability) rate = row;
  int flops = 0;
  if (precision == "fp32") flops = rate.fp32;
  if (precision == "tf32") flops = rate.tf32;
  if (precision == "fp16") flops = rate.half;
  if (precision == "bf16") flops = rate.bf16;
  return flops > 0 ? std::optional(flops) : std::nullopt;
}

DeviceLimit expected_arithmetic(const GpuInfo& gpu, const std::string& precision) {
  const std::optional<int> flops = flops_per_clock(gpu.major, gpu.minor, precision);
  if (!flops || gpu.multiprocessors <= 0 || gpu.sm_clock_khz <= 0) return {};
  return {1e3 * *flops * gpu.multiprocessors * gpu.sm_clock_khz,
          fmt::format("{} multiprocessors x {} MHz x {} FLOP a clock", gpu.multiprocessors,
                      gpu.sm_clock_khz / 1000, *flops)};
}

DeviceLimit expected_memory(const GpuInfo& gpu) {
  if (gpu.memory_clock_khz <= 0 || gpu.bus_width_bits <= 0) return {};
  return {2e3 * gpu.memory_clock_khz * gpu.bus_width_bits / 8,
          fmt::format("{} bit x 2 x {} MHz", gpu.bus_width_bits, gpu.memory_clock_khz / 1000)};
}

DeviceLimit arithmetic_limit(Backend& backend, const DeviceInfo& info, const std::string& precision) {
  if (info.gpu) {
    DeviceLimit expected = expected_arithmetic(*info.gpu, precision);
    if (expected.per_second > 0) return expected;
  }
  constexpr int kRows = 2048;
  constexpr int kSize = 1024;
  Microbenchmark product(backend, DenseDesc{.in = kSize, .out = kSize, .bias = false, .relu = false}, kRows);
  return {2.0 * kRows * kSize * kSize / product.forward_seconds(),
          fmt::format("measured: product of {0} x {1} by {1} x {1}", kRows, kSize)};
}

DeviceLimit memory_limit(Backend& backend, const DeviceInfo& info) {
  if (info.gpu) {
    DeviceLimit expected = expected_memory(*info.gpu);
    if (expected.per_second > 0) return expected;
  }
  constexpr int kRows = 256;
  constexpr int kColumns = 1 << 16;
  Microbenchmark copy(backend, ReluDesc{{1, 1, kColumns}}, kRows);
  const std::size_t bytes = kRows * kColumns * element_bytes(backend.element());
  return {2.0 * static_cast<double>(bytes) / copy.forward_seconds(),
          fmt::format("measured: ReLU from {0} MiB to {0} MiB", bytes >> 20U)};
}

}  // namespace trainer
