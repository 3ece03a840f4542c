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

class HostBackend : public Backend {
 public:
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
