// --device auto|cpu|cuda|cuda:N, turned into a backend and the reason for the choice, which the program says
// aloud.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "kernels/backend.hpp"

namespace trainer {

struct DeviceChoice {
  std::unique_ptr<Backend> backend;
  std::string gpu_reason;  // why no GPU is used; empty when one is
};

struct DeviceWish {
  std::string device = "auto";
  std::optional<int> threads = {};        // of the CPU engine
  std::string precision = "fp32";         // of products: fp32, or on a GPU tf32
  bool deterministic = true;              // the same seed gives the same bits
  std::filesystem::path plan_cache = {};  // see CudaOptions
};

// Throws UsageError for a word that is none of these, a number of threads below 1 or a precision that the
// device does not have, BackendError with the reason when cuda is asked for and cannot be used.
DeviceChoice choose_device(const DeviceWish& wish);

}  // namespace trainer
