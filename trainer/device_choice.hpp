// --device auto|cpu|cuda|cuda:N, turned into a backend and the reason for the choice, which the program says
// aloud.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "kernels/backend.hpp"

namespace trainer {

struct DeviceChoice {
  std::unique_ptr<Backend> backend;
  std::string gpu_reason;  // why no GPU is used; empty when one is
};

// Throws UsageError for a word that is none of these or a number of threads below 1, BackendError with the
// reason when cuda is asked for and cannot be used.
DeviceChoice choose_device(const std::string& device, std::optional<int> threads);

}  // namespace trainer
