// Turns --device auto|cpu|cuda|cuda:N into a backend and the reason for the choice, which the program prints.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "kernels/backend.hpp"
#include "models/spec.hpp"

namespace trainer {

struct DeviceChoice {
  std::unique_ptr<Backend> backend;
  Precision precision = Precision::fp32;
  Bits bits = Bits::fast;
  std::string gpu_reason;  // why no GPU is used; empty when one is
};

struct DeviceRequest {
  std::string device = "auto";
  std::optional<int> threads = {};            // for the CPU engine
  int batch = 0;                              // a training step has so many rows; 0: not known
  std::optional<std::string> precision = {};  // of products; the device must support it
  RecipePrecisions wanted = {};  // without one: the first of these that the device supports, else fp32
  bool deterministic = true;     // the same seed gives the same bits
  std::filesystem::path plan_cache = {};  // see CudaOptions
  std::string engine = "auto";            // or "libraries" (CudaOptions); a CPU has only one
  std::optional<std::string> bits = {};   // "fast", as without one, or "portable": the same on every machine
};

// A line on what --engine does for a network; empty for auto. `opened` tells which libraries the network has opened.
std::string engine_line(const std::string& engine, const DeviceInfo& opened);

// N for "cuda:N", 0 for "cuda"; nothing for any other word.
std::optional<int> cuda_index(const std::string& device);

// Throws UsageError for an unknown device, engine, precision or bits, for portable bits with a precision, an engine or algorithms
// that have none, and for a number of threads outside 1 to 1024; BackendError, with the reason, if cuda is requested but unusable
// or if the device does not support the precision.
DeviceChoice choose_device(const DeviceRequest& request);

}  // namespace trainer
