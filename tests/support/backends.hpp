// The backends that a suite runs on: the CPU, and the GPU where there is one that can be used. Where there is
// none, backend_test skips one test aloud for all suites; TRAINER_REQUIRE_GPU=1 makes its absence a failure
// of every test that needs it.
#pragma once

#include <cstdlib>
#include <gtest/gtest.h>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.hpp"

namespace trainer {

enum class BackendKind { cpu, cpu_portable, cpu_bf16, cuda, cuda_portable, cuda_tf32, cuda_fp16, cuda_bf16 };

inline constexpr BackendKind kGpu = BackendKind::cuda;

// In the names of tests, and in their messages.
inline std::string backend_name(BackendKind kind) {
  switch (kind) {
    case BackendKind::cpu:
      return "cpu";
    case BackendKind::cpu_portable:
      return "cpu_portable";
    case BackendKind::cpu_bf16:
      return "cpu_bf16";
    case BackendKind::cuda:
      return "cuda";
    case BackendKind::cuda_portable:
      return "cuda_portable";
    case BackendKind::cuda_tf32:
      return "cuda_tf32";
    case BackendKind::cuda_fp16:
      return "cuda_fp16";
    case BackendKind::cuda_bf16:
      return "cuda_bf16";
  }
  return "";
}

inline Precision precision_of(BackendKind kind) {
  switch (kind) {
    case BackendKind::cuda_tf32:
      return Precision::tf32;
    case BackendKind::cuda_fp16:
      return Precision::fp16;
    case BackendKind::cuda_bf16:
    case BackendKind::cpu_bf16:
      return Precision::bf16;
    case BackendKind::cpu:
    case BackendKind::cpu_portable:
    case BackendKind::cuda:
    case BackendKind::cuda_portable:
      break;
  }
  return Precision::fp32;
}

inline void PrintTo(BackendKind kind, std::ostream* out) {
  *out << backend_name(kind);
}

inline bool gpu_required() {
  const char* required = std::getenv("TRAINER_REQUIRE_GPU");
  return required != nullptr && std::string(required) == "1";
}

// The portable engine's vectors are a hundred times slower under a sanitizer; portable_test has a small network for it.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kTestsPortable = false;
#else
constexpr bool kTestsPortable = true;
#endif

inline std::vector<BackendKind> tested_backends() {
  std::vector<BackendKind> kinds{BackendKind::cpu};
  if (kTestsPortable) kinds.push_back(BackendKind::cpu_portable);
  if (!gpu_availability().usable && !gpu_required()) return kinds;
  kinds.push_back(BackendKind::cuda);
  if (kTestsPortable) kinds.push_back(BackendKind::cuda_portable);
  return kinds;
}

// Those that round the inputs of products, as far as this machine has them.
inline std::vector<BackendKind> rounding_backends() {
  std::vector<BackendKind> kinds;
  if (cpu_has(Precision::bf16)) kinds.push_back(BackendKind::cpu_bf16);
  if (!gpu_availability().usable) return kinds;
  for (const BackendKind kind : {BackendKind::cuda_tf32, BackendKind::cuda_fp16, BackendKind::cuda_bf16}) {
    if (gpu_has(0, precision_of(kind))) kinds.push_back(kind);
  }
  return kinds;
}

inline std::vector<BackendKind> all_backends() {
  std::vector<BackendKind> kinds = tested_backends();
  for (const BackendKind kind : rounding_backends()) kinds.push_back(kind);
  return kinds;
}

inline std::unique_ptr<Backend> make_backend(BackendKind kind, int threads = 2) {
  const Precision precision = precision_of(kind);
  const bool gpu = kind >= BackendKind::cuda;
  const bool portable = kind == BackendKind::cpu_portable || kind == BackendKind::cuda_portable;
  const Bits bits = portable ? Bits::portable : Bits::fast;
  return gpu ? make_cuda_backend(CudaOptions{.precision = precision, .bits = bits})
             : make_cpu_backend(CpuOptions{.threads = threads, .precision = precision, .bits = bits});
}

// Base of a fixture. A backend that cannot be made fails the test with its reason.
class OnBackend : public testing::Test {
 protected:
  void start(BackendKind kind) { backend_ = make_backend(kind); }
  Backend& backend() { return *backend_; }

 private:
  std::unique_ptr<Backend> backend_;
};

// Base of a fixture for what only a GPU has, a real or an emulated one: without one its tests are skipped.
class OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    const GpuAvailability gpu = gpu_availability();
    if (gpu.usable) return;
    if (gpu_required()) FAIL() << "TRAINER_REQUIRE_GPU=1, but " << gpu.reason;
    GTEST_SKIP() << "no GPU: " << gpu.reason;
  }
};

}  // namespace trainer
