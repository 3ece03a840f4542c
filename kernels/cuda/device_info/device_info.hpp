// The GPUs of this process as plain data, and whether one can be used.
#pragma once

#include <string>

#include "kernels/device_info.hpp"

namespace trainer::cuda {

// Opens the device's context. Throws BackendError "--device cuda:N: cause; next step" if the device cannot be used.
void require_device(int device);

// Describes the backend: its device, every other one that the process sees, the software, the CPU. `cudnn` and `cublas`
// are the versions that the libraries report, empty if unknown. Throws CudaError.
DeviceInfo describe_device(int device, const std::string& cudnn, const std::string& cublas);

}  // namespace trainer::cuda
