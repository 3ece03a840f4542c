// The three products of a dense layer, by oneDNN: y = x w^T + b, dx = dy w, dw = dy^T x and db. The weights
// stay in the layout that oneDNN asks for, the same in all three, from step to step.
#pragma once

#include <cstddef>

#include "kernels/cpu/context.hpp"

namespace trainer::cpu {

struct InnerProductShape {
  int batch, in, out;
  bool bias, wants_dx;
};

class InnerProduct {
 public:
  InnerProduct(const OneDnn& dnn, const InnerProductShape& shape);

  std::size_t scratch_bytes() const;
  std::size_t weight_floats() const { return forward_.desc.weights_desc().get_size() / sizeof(float); }
  void store(const float* canonical, float* stored) const;  // canonical [out, in]
  void fetch(const float* stored, float* canonical) const;

  void forward(const float* x, const float* w, const float* b, float* y, std::byte* scratch) const;
  void backward_data(const float* dy, const float* w, float* dx, std::byte* scratch) const;
  void backward_weights(const float* x, const float* dy, float* dw, float* db, std::byte* scratch) const;

 private:
  const OneDnn& dnn_;
  InnerProductShape shape_;
  Ready<dnnl::inner_product_forward> forward_;
  Ready<dnnl::inner_product_backward_data> backward_data_;
  Ready<dnnl::inner_product_backward_weights> backward_weights_;
};

}  // namespace trainer::cpu
