// What the CPU engines have in common: their memory is the host's, and a recording is the list of closures itself, which a launch
// runs to completion.
#pragma once

#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/bump_allocator.hpp"

namespace trainer::cpu {

class HostRecording final : public Recording {
 public:
  explicit HostRecording(std::vector<RepeatedStep> sequence) : sequence_(std::move(sequence)) {}
  void launch(std::uint64_t times) override {
    for (; times > 0; --times) {
      for (const RepeatedStep& part : sequence_) {
        for (std::uint64_t s = 0; s < part.times; ++s) part.step();
      }
    }
  }
  std::size_t nodes() const override { return 0; }

 private:
  std::vector<RepeatedStep> sequence_;
};

class PlainExchange final : public GradientExchange {
 public:
  PlainExchange(Communicator& ranks, std::size_t count) : ranks_(ranks), count_(count) {}
  void run(float* dw, StepState* state) override {
    const auto n = static_cast<std::size_t>(ranks_.size());
    std::vector<float> all(n * (count_ + 2));
    std::vector<std::size_t> borders;
    for (std::size_t r = 0; r <= n; ++r) borders.push_back(r * (count_ + 2) * 4);
    float* own = all.data() + ranks_.rank() * (count_ + 2);
    std::memcpy(own, dw, count_ * 4);
    own[count_] = state->batch_loss;
    own[count_ + 1] = static_cast<float>(asked_);
    ranks_.all_gather(all.data(), borders);
    const auto sum = [&](auto& self, std::size_t lo, std::size_t hi, std::size_t i) -> float {
      if (hi - lo == 1) return all[lo * (count_ + 2) + i];
      return self(self, lo, (lo + hi) / 2, i) + self(self, (lo + hi) / 2, hi, i);
    };
    for (std::size_t i = 0; i < count_; ++i) dw[i] = sum(sum, 0, n, i);
    state->batch_loss = sum(sum, 0, n, count_);
    stops_ = 0;
    for (std::size_t r = 0; r < n; ++r) stops_ |= static_cast<unsigned>(all[r * (count_ + 2) + count_ + 1]);
  }
  void ask_to_stop() override { asked_ = 1; }
  bool stops() const override { return stops_; }
  Residuals residuals() override { return {}; }
  void set_residuals(const Residuals&) override {}
  ExchangeCount count() const override { return {}; }

 private:
  Communicator& ranks_;
  std::size_t count_;
  unsigned asked_ = 0, stops_ = 0;
};

class HostBackend : public Backend {
 public:
  std::unique_ptr<GradientExchange> prepare_exchange(const ExchangeDesc& desc) override {
    return std::make_unique<PlainExchange>(*desc.ranks, desc.floats);
  }
  Buffer allocate(std::size_t bytes, std::string_view what) override {
    const std::size_t whole = HostAllocator::aligned(bytes) + kSpareBytes;
    void* data = std::aligned_alloc(HostAllocator::aligned(1), whole);
    if (data == nullptr) {
      throw BackendError(
          fmt::format("out of memory: {} bytes for {}; a smaller --batch needs less", bytes, what));
    }
    std::memset(data, 0, whole);
    return {static_cast<std::byte*>(data), bytes, [](std::byte* memory) { std::free(memory); }};
  }
  Buffer make_resident(const void* data, std::size_t bytes, std::string_view /*what*/) override {
    auto* in_place =
        static_cast<std::byte*>(const_cast<void*>(data));  // NOLINT: a Buffer is read here, never written
    return {in_place, bytes, [](std::byte*) {}};
  }
  void upload(std::byte* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void download(void* to, const std::byte* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void cast(const float* /*from*/, void* /*to*/, std::size_t /*count*/) override {}  // maps are fp32
  void advance(StepState* state) override { ++state->step; }
  std::unique_ptr<Recording> record(std::vector<RepeatedStep> sequence) override {
    return std::make_unique<HostRecording>(std::move(sequence));
  }
  std::uint64_t repeats_per_launch() const override { return 1; }
  bool runs_ahead() const override { return false; }
  bool busy() const override { return false; }
  void wait() override {}

 protected:
  static constexpr std::size_t kSpareBytes =
      64;  // after every buffer, for loads of whole vectors (kernels/portable/lanes.hpp)

  static DeviceInfo host_info(int threads) {
    DeviceInfo info;
    info.kind = "cpu";
    info.cpu = describe_cpu(threads);
    info.name = fmt::format("CPU: {}, {} {}", info.cpu.model, threads, threads == 1 ? "thread" : "threads");
    return info;
  }
};

}  // namespace trainer::cpu
