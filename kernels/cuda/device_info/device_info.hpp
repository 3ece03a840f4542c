// The GPUs of this process as plain data, and whether one can be used.
#pragma once

#include <string>

#include "kernels/device_info.hpp"

namespace trainer::cuda {

// Throws BackendError "--device cuda:N: cause; next step" where this device cannot be used. Opens its context.
void require_device(int device);

// The backend's account of itself: its device, every other one that the process sees, the software, the CPU. `cudnn`
// and `cublas` are the libraries' own versions, empty where they are not told. Throws CudaError.
DeviceInfo describe_device(int device, const std::string& cudnn, const std::string& cublas);

}  // namespace trainer::cuda
