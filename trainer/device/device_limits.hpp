// What a device can do at most, which times are held against: arithmetic and memory traffic. A GPU's limits follow from its
// properties; a processor's are measured through what training calls, since nothing tells its clocks under vector code or how much
// of the machine a process gets.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.hpp"

namespace trainer {

struct DeviceLimit {
  double per_second = 0;  // FLOP or bytes; 0: unknown
  std::string source;     // "measured: ...", or the numbers that it is the product of
};

// FLOP (a multiply-add counts 2) of one multiprocessor in one clock, without sparsity, sums in fp32; nothing
// for a precision that it does not have or a compute capability that is not in the table. Source: NVIDIA's
// CUDA C++ Programming Guide, "Arithmetic Instructions", and the architectures' white papers.
std::optional<int> flops_per_clock(int major, int minor, const std::string& precision);

// What a GPU's properties promise; 0 where they do not tell.
DeviceLimit expected_arithmetic(const GpuInfo& gpu, const std::string& precision);
DeviceLimit expected_memory(const GpuInfo& gpu);

// In `precision` ("fp32", "tf32", ...), the one that `backend` was made with. Where it is measured: the best
// of about 0.3 seconds of products of 2048 x 1024 by 1024 x 1024, casts included where the engine makes them.
DeviceLimit arithmetic_limit(Backend& backend, const DeviceInfo& info, const std::string& precision);

// Where it is measured: the best of about 0.3 seconds of a ReLU from 64 MiB to another 64 MiB (32 in 16
// bits).
DeviceLimit memory_limit(Backend& backend, const DeviceInfo& info);

// An op alone, with memory of its own, run again and again.
class Microbenchmark {
 public:
  Microbenchmark(Backend& backend, const OpDesc& desc, int batch);

  // Puts numbers from -1 to 1 into input and weights instead of zeros: a device that computes with zeros draws less power and keeps
  // clocks that it does not keep in training.
  void fill();
  void forward();            // launches it; Backend::wait() waits for it
  double forward_seconds();  // the fastest in about 0.3 seconds, each waited for

 private:
  void fill(Buffer& buffer, std::size_t count, bool of_element);

  Backend& backend_;
  OpDesc desc_;
  int batch_;
  std::unique_ptr<Op> op_;
  Buffer x_, y_, cast_w_, saved_, workspace_, state_;
  std::vector<Buffer> parameters_;
};

// The fastest `round` in about `seconds`. The first one, which touches the memory for the first time, is left out.
double fastest_seconds(Backend& backend, double seconds, const std::function<void()>& round);

}  // namespace trainer
