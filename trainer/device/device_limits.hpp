// The peak arithmetic and memory rates of a device, to which measured times are compared. A GPU's limits follow from its
// properties. A processor's are measured with the calls that training makes, since nothing reports its clocks under vector code
// or how much of the machine a process gets.
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
  std::string source;     // "measured: ...", or the numbers whose product it is
};

// FLOP per clock of one multiprocessor (a multiply-add counts as 2), without sparsity, accumulated in fp32; nothing for a
// precision that it lacks or a compute capability that is not in the table. Source: NVIDIA's CUDA C++ Programming Guide,
// "Arithmetic Instructions", and the architectures' white papers.
std::optional<int> flops_per_clock(int major, int minor, const std::string& precision);

// The limits that follow from a GPU's properties; 0 if these are unknown.
DeviceLimit expected_arithmetic(const GpuInfo& gpu, const std::string& precision);
DeviceLimit expected_memory(const GpuInfo& gpu);

// The limit in `precision` ("fp32", "tf32", ...), with which `backend` was made. If it is measured: the best of about 0.3 seconds
// of products of 2048 x 1024 by 1024 x 1024, including any casts that the engine makes.
DeviceLimit arithmetic_limit(Backend& backend, const DeviceInfo& info, const std::string& precision);

// If it is measured: the best of about 0.3 seconds of a ReLU from 64 MiB to another 64 MiB (32 MiB in 16 bits).
DeviceLimit memory_limit(Backend& backend, const DeviceInfo& info);

// An op alone, with memory of its own, run again and again.
class Microbenchmark {
 public:
  Microbenchmark(Backend& backend, const OpDesc& desc, int batch);

  // Fills input and weights with numbers from -1 to 1 instead of zeros: on zeros a device draws less power and keeps clocks that
  // it does not reach in training.
  void fill();
  void forward();            // launches it; Backend::wait() waits for it
  double forward_seconds();  // the fastest launch in about 0.3 seconds, each waited for

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
