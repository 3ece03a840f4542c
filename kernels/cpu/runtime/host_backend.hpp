// What the CPU engines have in common: their memory is the host's, and a recording is a program of
// their threads, which a launch runs to completion.
#pragma once

#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/bump_allocator.hpp"
#include "kernels/cpu/runtime/stream.hpp"

namespace trainer::cpu {

class HostRecording final : public Recording {
 public:
  HostRecording(Stream& stream, const std::vector<RepeatedStep>& sequence) : stream_(stream) {
    stream.flush();
    for (const RepeatedStep& part : sequence) {
      part.step();
      parts_.push_back({stream.take(), part.times});
    }
  }
  void launch(std::uint64_t times) override {
    for (; times > 0; --times) {
      for (const Part& part : parts_) stream_.run(part.program, part.times);
    }
  }
  // Its phases.
  std::size_t nodes() const override {
    std::size_t nodes = 0;
    for (const Part& part : parts_) nodes += part.program.phases.size();
    return nodes;
  }

 private:
  struct Part {
    Program program;
    std::uint64_t times;
  };
  Stream& stream_;
  std::vector<Part> parts_;
};

class StreamStopwatch final : public HostStopwatch {
 public:
  explicit StreamStopwatch(Stream& stream) : stream_(stream) {}
  void start() override {
    stream_.flush();
    HostStopwatch::start();
  }
  void stop() override {
    stream_.flush();
    HostStopwatch::stop();
  }

 private:
  Stream& stream_;
};

class HostBackend : public Backend {
 public:
  explicit HostBackend(int threads, const Action& prepare = {}) : stream_(threads, prepare) {}

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
  void upload(std::byte* to, const void* from, std::size_t bytes) override {
    stream_.flush();
    std::memcpy(to, from, bytes);
  }
  void download(void* to, const std::byte* from, std::size_t bytes) override {
    stream_.flush();
    std::memcpy(to, from, bytes);
  }
  void cast(const float* /*from*/, void* /*to*/, std::size_t /*count*/) override {}  // maps are fp32
  void advance(StepState* state) override {
    stream_.end_step();
    stream_.serial([state] { ++state->step; });
  }
  std::unique_ptr<Recording> record(std::vector<RepeatedStep> sequence) override {
    return std::make_unique<HostRecording>(stream_, sequence);
  }
  std::uint64_t repeats_per_launch() const override { return 1; }
  bool runs_ahead() const override { return false; }
  bool busy() const override { return false; }
  void wait() override { stream_.flush(); }
  std::unique_ptr<Stopwatch> stopwatch() override { return std::make_unique<StreamStopwatch>(stream_); }

 protected:
  static constexpr std::size_t kSpareBytes =
      64;  // after every buffer, for loads of whole vectors (kernels/portable/lanes.hpp)

  DeviceInfo host_info() const {
    const int threads = stream_.threads();
    DeviceInfo info;
    info.kind = "cpu";
    info.cpu = describe_cpu(threads);
    info.name = fmt::format("CPU: {}, {} {}", info.cpu.model, threads, threads == 1 ? "thread" : "threads");
    return info;
  }

  Stream stream_;
};

}  // namespace trainer::cpu
