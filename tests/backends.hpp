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

enum class BackendKind { cpu, cuda };

// In the names of tests, and in their messages.
inline std::string backend_name(BackendKind kind) {
  return kind == BackendKind::cpu ? "cpu" : "cuda";
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

inline std::unique_ptr<Backend> make_backend(BackendKind kind, int threads = 2) {
  return kind == BackendKind::cpu ? make_cpu_backend(CpuOptions{.threads = threads})
                                  : make_cuda_backend(CudaOptions{});
}

// Base of a fixture. A backend that cannot be made fails the test with its reason.
class OnBackend : public testing::Test {
 protected:
  void start(BackendKind kind) { backend_ = make_backend(kind); }
  Backend& backend() { return *backend_; }

 private:
  std::unique_ptr<Backend> backend_;
};

}  // namespace trainer
