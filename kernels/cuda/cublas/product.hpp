// Dense products by the library: the only interface to cuBLASLt (cublas_product.cpp; in the emulated build
// tests/emulator/product.cpp). x [n, in], w [out, in] and y [n, out] are row-major and of element_of(precision); the
// gradients of weights and bias, and all sums, are fp32.
#pragma once

#include <cstddef>
#include <cuda_runtime.h>
#include <memory>
#include <string>

#include "kernels/precision.hpp"

namespace trainer::cuda {

struct ProductShape {
  int batch = 1;
  int in = 1;
  int out = 1;
  bool sums_dy = false;  // whether backward_weights also gives db
  bool wants_dx = true;  // whether backward_data is ever called
  Precision precision = Precision::fp32;
};

// The three products of one layer, prepared. Its functions only launch, on the library's stream.
class Product {
 public:
  virtual ~Product() = default;
  virtual std::size_t workspace_bytes() const = 0;

  // y = x w^T
  virtual void forward(const void* x, const void* w, void* y, void* workspace) = 0;
  // dw = dy^T x, and with sums_dy db = the sum of dy over its rows
  virtual void backward_weights(const void* x, const void* dy, float* dw, float* db, void* workspace) = 0;
  // dx = dy w
  virtual void backward_data(const void* dy, const void* w, void* dx, void* workspace) = 0;
};

// The library's handle; outlives the products made with it.
class Products {
 public:
  virtual ~Products() = default;
  virtual std::unique_ptr<Product> make(const ProductShape& shape) = 0;  // throws BackendError
};

std::unique_ptr<Products> open_products(cudaStream_t stream);
std::string products_version();  // "12.4.3"; loads the library; empty if it is missing

}  // namespace trainer::cuda
