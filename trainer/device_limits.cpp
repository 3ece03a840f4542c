// The table of GPUs, and the two measurements through the ops themselves.
#include "trainer/device_limits.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <functional>
#include <vector>

#include "kernels/gpu_architectures.hpp"

namespace trainer {

namespace {

using Clock = std::chrono::steady_clock;

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

constexpr double kSeconds = 0.3;
constexpr int kFewestRounds = 3;

// Of the fastest round. The first one, which touches the memory for the first time, is left out.
double fastest_seconds(Backend& backend, const std::function<void()>& round) {
  round();
  backend.wait();
  double best = 0;
  const Clock::time_point begun = Clock::now();
  for (int i = 0; i < kFewestRounds || std::chrono::duration<double>(Clock::now() - begun).count() < kSeconds;
       ++i) {
    const Clock::time_point start = Clock::now();
    round();
    backend.wait();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = i == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

// An op alone, with memory of its own.
class LoneOp {
 public:
  LoneOp(Backend& backend, const OpDesc& desc, int batch)
      : backend_(backend),
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

  double forward_seconds() {
    OpArgs args;
    args.x = x_.data();
    args.y = y_.data();
    args.saved = saved_.data();
    args.workspace = workspace_.data();
    args.state = state_.as<StepState>();
    if (!parameters_.empty()) args.w = parameters_[0].floats();
    if (backend_.element() != Element::fp32) args.cast_w = cast_w_.data();
    if (parameters_.size() > 1) args.b = parameters_[1].floats();
    return fastest_seconds(backend_, [&] { op_->forward(args); });
  }

 private:
  Backend& backend_;
  std::unique_ptr<Op> op_;
  Buffer x_, y_, cast_w_, saved_, workspace_, state_;
  std::vector<Buffer> parameters_;
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

DeviceLimit arithmetic_limit(Backend& backend, const DeviceInfo& info, const std::string& precision) {
  if (info.gpu) {
    const GpuInfo& gpu = *info.gpu;
    const std::optional<int> flops = flops_per_clock(gpu.major, gpu.minor, precision);
    if (flops && gpu.multiprocessors > 0 && gpu.sm_clock_khz > 0) {
      return {1e3 * *flops * gpu.multiprocessors * gpu.sm_clock_khz,
              fmt::format("{} multiprocessors x {} MHz x {} FLOP a clock", gpu.multiprocessors,
                          gpu.sm_clock_khz / 1000, *flops)};
    }
  }
  constexpr int kRows = 2048;
  constexpr int kEdge = 1024;
  LoneOp product(backend, DenseDesc{.in = kEdge, .out = kEdge, .bias = false, .relu = false}, kRows);
  return {2.0 * kRows * kEdge * kEdge / product.forward_seconds(),
          fmt::format("measured: product of {0} x {1} by {1} x {1}", kRows, kEdge)};
}

DeviceLimit memory_limit(Backend& backend, const DeviceInfo& info) {
  if (info.gpu && info.gpu->memory_clock_khz > 0 && info.gpu->bus_width_bits > 0) {
    const GpuInfo& gpu = *info.gpu;
    return {2e3 * gpu.memory_clock_khz * gpu.bus_width_bits / 8,
            fmt::format("{} bit x 2 x {} MHz", gpu.bus_width_bits, gpu.memory_clock_khz / 1000)};
  }
  constexpr int kRows = 256;
  constexpr int kColumns = 1 << 16;
  LoneOp copy(backend, ReluDesc{{1, 1, kColumns}}, kRows);
  const std::size_t bytes = kRows * kColumns * element_bytes(backend.element());
  return {2.0 * static_cast<double>(bytes) / copy.forward_seconds(),
          fmt::format("measured: ReLU from {0} MiB to {0} MiB", bytes >> 20U)};
}

}  // namespace trainer
