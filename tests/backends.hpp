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

enum class BackendKind { cpu, cuda, cuda_tf32 };

// In the names of tests, and in their messages.
inline std::string backend_name(BackendKind kind) {
  switch (kind) {
    case BackendKind::cpu:
      return "cpu";
    case BackendKind::cuda:
      return "cuda";
    case BackendKind::cuda_tf32:
      return "cuda_tf32";
  }
  return "";
}

inline Precision precision_of(BackendKind kind) {
  return kind == BackendKind::cuda_tf32 ? Precision::tf32 : Precision::fp32;
}

inline void PrintTo(BackendKind kind, std::ostream* out) {
  *out << backend_name(kind);
}

inline bool gpu_required() {
  const char* required = std::getenv("TRAINER_REQUIRE_GPU");
  return required != nullptr && std::string(required) == "1";
}

inline std::vector<BackendKind> tested_backends() {
  if (gpu_availability().usable || gpu_required()) return {BackendKind::cpu, BackendKind::cuda};
  return {BackendKind::cpu};
}

// Those that round the inputs of products.
inline std::vector<BackendKind> rounding_backends() {
  if (gpu_availability().usable || gpu_required()) return {BackendKind::cuda_tf32};
  return {};
}

inline std::unique_ptr<Backend> make_backend(BackendKind kind, int threads = 2) {
  return kind == BackendKind::cpu ? make_cpu_backend(CpuOptions{.threads = threads})
                                  : make_cuda_backend(CudaOptions{.precision = precision_of(kind)});
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
