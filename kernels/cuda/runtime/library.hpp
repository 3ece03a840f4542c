// Convolutions and dense layers by the libraries: the only interface to cuDNN (cudnn_convolution.cpp) and cuBLASLt
// (cublas_product.cpp); in the emulated build tests/emulator/ implements it. Maps are [n, h, w, c], filters [out, k, k, c], all of
// element_of(precision); sums are fp32; no bias, no activation. A dense layer has maps of one pixel.
#pragma once

#include <cuda_runtime.h>
#include <filesystem>
#include <memory>
#include <string>

#include "kernels/precision.hpp"
#include "kernels/shape.hpp"

namespace trainer::cuda {

struct LayerShape {
  int batch = 1;
  Shape in;
  int out = 1;
  int kernel = 1;
  int stride = 1;
  Border pad;
  Precision precision = Precision::fp32;
  bool wants_dx = true;  // whether backward_data is ever called
  bool sums_dy = false;  // whether backward_weights also gives db; dense layers only
};

// The three passes of one layer, prepared. They only launch, on the library's stream.
class LayerPasses {
 public:
  virtual ~LayerPasses() = default;
  virtual std::size_t workspace_bytes() const = 0;  // the largest of its passes

  // y = x w^T
  virtual void forward(const void* x, const void* w, void* y, void* workspace) = 0;
  // dw = dy^T x, of the maps' element type for a convolution, fp32 for a dense layer; with sums_dy db = the sum of dy over its rows
  virtual void backward_weights(const void* x, const void* dy, void* dw, float* db, void* workspace) = 0;
  // dx = dy w
  virtual void backward_data(const void* dy, const void* w, void* dx, void* workspace) = 0;
};

// A library's handle; outlives the layers made with it.
class Library {
 public:
  virtual ~Library() = default;
  // Throws BackendError if the library has nothing for the shape.
  virtual std::unique_ptr<LayerPasses> make(const LayerShape& shape) = 0;
};

struct ConvolutionOptions {
  cudaStream_t stream = nullptr;
  bool deterministic = true;              // excludes engines whose bits may differ from run to run
  std::filesystem::path plan_cache = {};  // folder of plans from earlier runs; empty: none
};
std::unique_ptr<Library> open_convolutions(const ConvolutionOptions& options);
std::unique_ptr<Library> open_products(cudaStream_t stream);  // of dense layers
std::string convolutions_version();                           // "9.14.0"
std::string products_version();  // "12.4.3"; loads the library; empty if it is missing

}  // namespace trainer::cuda
