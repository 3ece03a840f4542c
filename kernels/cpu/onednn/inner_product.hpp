// The three products of a dense layer, by oneDNN: y = x w^T + b, dx = dy w, dw = dy^T x and db. The weights
// are stored in the layout that oneDNN asks for, from step to step.
#pragma once

#include <cstddef>

#include "kernels/cpu/runtime/context.hpp"

namespace trainer::cpu {

struct InnerProductShape {
  int batch, in, out;
  bool bias, wants_dx;
};

class InnerProduct {
 public:
  // Its inputs are of input_type(context). Its weights are stored as those of `like`, if it is given.
  InnerProduct(const CpuContext& context, const InnerProductShape& shape, const InnerProduct* like = nullptr);

  std::size_t workspace_bytes() const;  // of either direction
  std::size_t saved_bytes() const;      // from forward to backward: x and w as the products read them
  std::size_t weight_floats() const { return stored_.get_size() / sizeof(float); }
  void store(const float* canonical, float* stored) const;  // canonical [out, in]
  void fetch(const float* stored, float* canonical) const;

  // `saved`, saved_bytes(): null in inference, and in both directions where there are none.
  void forward(const float* x, const float* w, const float* b, float* y, std::byte* workspace,
               std::byte* saved = nullptr) const;
  // dx may be null.
  struct Gradients {
    float *dw, *db, *dx;
  };
  void backward(const float* x, const float* dy, const float* w, const Gradients& gradients,
                std::byte* workspace, std::byte* saved) const;

 private:
  struct Copies {
    std::byte *x, *w;  // operands
  };
  Copies take_copies(HostAllocator& memory) const;
  struct Layout {
    std::byte *scratch, *dy, *w;  // dy and w, where backward wants another layout: operands
    Copies copies;                // of forward in inference
  };
  Layout lay_out(HostAllocator& memory) const;
  void backward_data(const void* dy, const void* w, float* dx, std::byte* scratch) const;
  void backward_weights(const void* x, const void* dy, float* dw, float* db, std::byte* scratch) const;

  const CpuContext& context_;
  InnerProductShape shape_;
  Desc bias_;
  Ready<dnnl::inner_product_forward> forward_;
  Ready<dnnl::inner_product_backward_data> backward_data_;
  Ready<dnnl::inner_product_backward_weights> backward_weights_;
  Desc stored_;  // fp32, as the gradient comes
};

}  // namespace trainer::cpu
