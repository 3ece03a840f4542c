// The facts of this machine: what is asked of the driver, the libraries and the files, once.
#pragma once

#include "kernels/gpu_host/gpu_failure.hpp"
#include "kernels/gpu_host/nvml.hpp"
#include "trainer/doctor/facts.hpp"
#include "trainer/store/environment.hpp"

namespace trainer::doctor {

struct Questions {
  std::string device = "auto";  // or cpu, cuda, cuda:N
  std::string data;             // --data; empty: TRAINER_DATA or the shipped MNIST
  bool require_gpu = false;
  bool quick = false;  // without the test of a second
};

// Everything but the speed. Opens the context of the GPU where that works.
GpuFacts gather_gpu(const GpuProbe& probe, const Nvml& nvml, int device);
FilesFacts gather_files(const Environment& environment, const std::string& data);

// Throws UsageError for a device that is none of these.
Facts gather(const Environment& environment, const Questions& questions, const GpuProbe& probe,
             const Nvml& nvml);

}  // namespace trainer::doctor
