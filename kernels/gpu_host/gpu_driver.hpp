// GPUs asked of the driver's library alone, loaded at run time: what a build without the GPU engine knows of
// them. Codes of the driver's interface (CUresult) and of the runtime's (cudaError_t) have the same numbers
// where both have one, so the texts of gpu_failure.hpp serve.
#pragma once

#include <memory>

#include "kernels/gpu_host/gpu_failure.hpp"
#include "kernels/gpu_host/gpu_surroundings.hpp"

namespace trainer {

struct DriverCalls;

class DriverProbe : public GpuProbe {
 public:
  explicit DriverProbe(GpuPlaces places = {});
  ~DriverProbe() override;
  DriverProbe(const DriverProbe&) = delete;
  DriverProbe& operator=(const DriverProbe&) = delete;

  Count count() const override;
  GpuTraits traits(int device) const override;
  int open(int device) const override;
  std::string architectures() const override;  // of a build with the GPU engine, as it is by default
  std::string code_name(int code) const override;
  GpuSurroundings surroundings() const override;

 private:
  GpuPlaces places_;
  std::unique_ptr<DriverCalls> calls_;  // null where there is no such library
  int started_ = 0;                     // the code of its start
};

}  // namespace trainer
