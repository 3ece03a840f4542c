// Convolutions by the library: the only interface to cuDNN (cudnn_convolution.cpp; in the emulated build
// tests/emulator/convolution.cpp). Maps are [n, h, w, c], filters [out, k, k, c], all of element_of(precision); sums
// are fp32; no bias, no activation.
#pragma once

#include <cstddef>
#include <cuda_runtime.h>
#include <filesystem>
#include <memory>
#include <string>

#include "kernels/op.hpp"
#include "kernels/precision.hpp"

namespace trainer::cuda {

struct ConvolutionShape {
  int batch = 1;
  Shape in;
  int out = 1;
  int kernel = 1;
  int stride = 1;
  Border pad;
  Precision precision = Precision::fp32;
  bool wants_dx = true;  // whether backward_data is ever called
};

// One prepared convolution, with a plan for each of its passes. The passes only launch, on the library's stream.
class Convolution {
 public:
  virtual ~Convolution() = default;
  virtual std::size_t workspace_bytes() const = 0;  // the largest of its passes

  virtual void forward(const void* x, const void* w, void* y, void* workspace) = 0;
  virtual void backward_weights(const void* x, const void* dy, void* dw, void* workspace) = 0;
  virtual void backward_data(const void* dy, const void* w, void* dx, void* workspace) = 0;
};

struct ConvolutionOptions {
  cudaStream_t stream = nullptr;
  bool deterministic = true;              // excludes engines whose bits may differ from run to run
  std::filesystem::path plan_cache = {};  // folder of plans from earlier runs; empty: none
};

// The library's handle; outlives the convolutions made with it.
class Convolutions {
 public:
  virtual ~Convolutions() = default;
  // Throws BackendError if the library has no engine for the shape.
  virtual std::unique_ptr<Convolution> make(const ConvolutionShape& shape) = 0;
};

std::unique_ptr<Convolutions> open_convolutions(const ConvolutionOptions& options);
std::string convolutions_version();  // "9.14.0"

}  // namespace trainer::cuda
