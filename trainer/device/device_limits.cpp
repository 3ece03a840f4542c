// The table of GPUs, and the measurements through the ops themselves.
#include "trainer/device/device_limits.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <random>

#include "kernels/gpu_host/gpu_architectures.hpp"
#include "trainer/system/clock.hpp"

namespace trainer {

namespace {

struct ClockRate {
  int from = 0;                // lowest compute capability; the row applies up to the next row's
  std::array<int, 4> flops{};  // by Precision: fp32, tf32, fp16, bf16
};

constexpr ClockRate kClockRates[] = {
    {75, {128, 0, 1024, 0}},        {80, {128, 1024, 2048, 2048}},
    {86, {256, 256, 512, 512}},     {90, {256, 2048, 4096, 4096}},
    {100, {256, 4096, 8192, 8192}}, {110, {0, 0, 0, 0}},
    {120, {256, 256, 512, 512}},    {122, {0, 0, 0, 0}},
};

}  // namespace

std::optional<int> flops_per_clock(int major, int minor, const std::string& precision) {
  const std::optional<Precision> named = precision_named(precision);
  int flops = 0;
  for (const ClockRate& row : kClockRates)
    if (named && row.from <= capability_number(major, minor))
      flops = row.flops[static_cast<std::size_t>(*named)];
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
  DeviceLimit expected = info.gpu ? expected_arithmetic(*info.gpu, precision) : DeviceLimit{};
  if (expected.per_second > 0) return expected;
  constexpr int kRows = 2048;
  constexpr int kSize = 1024;
  Microbenchmark product(backend, DenseDesc{.in = kSize, .out = kSize, .bias = false, .relu = false}, kRows);
  return {2.0 * kRows * kSize * kSize / product.forward_seconds(),
          fmt::format("measured: product of {0} x {1} by {1} x {1}", kRows, kSize)};
}

DeviceLimit memory_limit(Backend& backend, const DeviceInfo& info) {
  DeviceLimit expected = info.gpu ? expected_memory(*info.gpu) : DeviceLimit{};
  if (expected.per_second > 0) return expected;
  constexpr int kRows = 256;
  constexpr int kColumns = 1 << 16;
  Microbenchmark copy(backend, ReluDesc{{1, 1, kColumns}}, kRows);
  const std::size_t bytes = kRows * kColumns * element_bytes(backend.element());
  return {2.0 * static_cast<double>(bytes) / copy.forward_seconds(),
          fmt::format("measured: ReLU from {0} MiB to {0} MiB", bytes >> 20U)};
}

double fastest_seconds(Backend& backend, double seconds, const std::function<void()>& round) {
  constexpr int kFewestRounds = 3;
  round();
  backend.wait();
  double best = 0;
  const Clock::time_point started = Clock::now();
  for (int i = 0; i < kFewestRounds || seconds_since(started) < seconds; ++i) {
    const Clock::time_point start = Clock::now();
    round();
    backend.wait();
    best = i == 0 ? seconds_since(start) : std::min(best, seconds_since(start));
  }
  return best;
}

Microbenchmark::Microbenchmark(Backend& backend, const OpDesc& desc, int batch)
    : backend_(backend),
      desc_(desc),
      batch_(batch),
      op_(backend.prepare(desc, batch, false)),
      x_(backend.allocate(batch * in_shape(desc).size() * sizeof(float), "a measurement")),
      y_(backend.allocate(batch * out_shape(desc).size() * sizeof(float), "a measurement")),
      cast_w_(backend.allocate(parameters(desc).empty() ? 0 : op_->stored_count(0) * sizeof(float),
                               "a measurement")),
      saved_(backend.allocate(op_->saved_bytes(), "a measurement")),
      workspace_(backend.allocate(op_->workspace_bytes(), "a measurement")),
      state_(backend.allocate(sizeof(StepState), "a measurement")) {
  StepState state;
  state.valid = static_cast<std::uint32_t>(batch);
  backend.upload(state_.data(), &state, sizeof(state));
  const int count = static_cast<int>(parameters(desc).size());
  for (int i = 0; i < count; ++i)
    parameters_.push_back(backend.allocate(op_->stored_count(i) * sizeof(float), "a measurement"));
}

void Microbenchmark::fill(Buffer& buffer, std::size_t count, bool of_element) {
  std::minstd_rand random;
  std::uniform_real_distribution<float> spread(-1, 1);
  std::vector<float> values(count);
  constexpr std::size_t kPeriod = 4093;  // a prime: no two rows of a product are alike
  for (std::size_t i = 0; i < count; ++i) values[i] = i < kPeriod ? spread(random) : values[i - kPeriod];
  if (!of_element || backend_.element() == Element::fp32) {
    backend_.upload(buffer.data(), values.data(), count * sizeof(float));
    return;
  }
  Buffer whole = backend_.allocate(count * sizeof(float), "a measurement");
  backend_.upload(whole.data(), values.data(), count * sizeof(float));
  backend_.cast(whole.floats(), buffer.data(), count);
  backend_.wait();
}

void Microbenchmark::fill() {
  fill(x_, batch_ * in_shape(desc_).size(), true);
  if (parameters_.empty()) return;
  fill(parameters_[0], op_->stored_count(0), false);
  if (backend_.element() == Element::fp32) return;
  backend_.cast(parameters_[0].floats(), cast_w_.data(), op_->stored_count(0));
  backend_.wait();
}

void Microbenchmark::forward() {
  OpArgs args;
  args.x = x_.data();
  args.y = y_.data();
  args.saved = saved_.data();
  args.workspace = workspace_.data();
  args.state = state_.as<StepState>();
  if (!parameters_.empty()) args.w = parameters_[0].floats();
  if (backend_.element() != Element::fp32) args.cast_w = cast_w_.data();
  if (parameters_.size() > 1) args.b = parameters_[1].floats();
  op_->forward(args);
}

double Microbenchmark::forward_seconds() {
  constexpr double kSeconds = 0.3;
  return fastest_seconds(backend_, kSeconds, [this] { forward(); });
}

}  // namespace trainer
