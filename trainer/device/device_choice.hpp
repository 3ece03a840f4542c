// --device auto|cpu|cuda|cuda:N, turned into a backend and the reason for the choice, which the program says
// aloud.
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
  std::string gpu_reason;  // why no GPU is used; empty when one is
};

struct DeviceRequest {
  std::string device = "auto";
  std::optional<int> threads = {};            // that the CPU engine uses
  std::optional<std::string> precision = {};  // of products; the device must have it
  RecipePrecisions wanted = {};           // without one: the first of these that the device has, else fp32
  bool deterministic = true;              // the same seed gives the same bits
  std::filesystem::path plan_cache = {};  // see CudaOptions
  std::string engine = "auto";            // or "libraries" (CudaOptions); a CPU has but one
};

// What --engine does for a network, as a line; none for auto. `opened`: which libraries it has opened.
std::string engine_line(const std::string& engine, const DeviceInfo& opened);

// N of "cuda:N", 0 of "cuda"; nothing for another word.
std::optional<int> cuda_index(const std::string& device);

// Throws UsageError for a word that is none of these, an unknown engine and a number of threads below 1,
// BackendError with the reason when cuda is asked for and cannot be used, or a precision that the device does
// not have.
DeviceChoice choose_device(const DeviceRequest& request);

}  // namespace trainer
