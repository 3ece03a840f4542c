// The GPUs of this process as plain data: attributes from the CUDA runtime, the rest from NVML. Only what
// CUDA 12 and 13 both have: 13 took clocks and compute mode out of cudaDeviceProp, the attributes stayed.
#pragma once

#include <cuda_runtime.h>
#include <string>

#include "kernels/device_info.hpp"

namespace trainer {

class Nvml;

namespace cuda {

// Throws CudaError. `in_use`: this is the current device, and the runtime tells its free memory; of another
// one NVML does, since the runtime would first make a context there, of hundreds of megabytes.
GpuInfo read_gpu(int device, const Nvml& nvml, bool in_use);

// "default", "exclusive process" or "prohibited".
cudaError_t read_compute_mode(int device, std::string* mode);
cudaError_t read_pci_bus_id(int device, std::string* id);  // in lower case

// The backend's account of itself: its device, every other one that the process sees, the software, the CPU.
// The versions are the libraries' own; empty: not told. Throws CudaError.
DeviceInfo describe_device(int device, const std::string& cudnn, const std::string& cublas);

// The compute architectures that this program was compiled for, as CMake writes them: "75-real;...;120".
const char* compiled_architectures();

}  // namespace cuda

}  // namespace trainer
