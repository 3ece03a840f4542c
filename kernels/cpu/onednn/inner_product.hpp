// The three products of a dense layer by oneDNN: y = x w^T + b, dx = dy w, dw = dy^T x with db. Between steps
// the weights stay in the layout that oneDNN chooses.
#pragma once

#include <cstddef>

#include "kernels/cpu/onednn/products.hpp"

namespace trainer::cpu {

// The layout [out, in] in which weights are initialised and saved.
inline Desc canonical_weights(const DenseDesc& desc) {
  return float_desc({desc.out, desc.in}, Tag::ab);
}

class InnerProduct : Products<dnnl::inner_product_forward, dnnl::inner_product_backward_data,
                              dnnl::inner_product_backward_weights> {
 public:
  // Its weights have the layout of those of `like`, if given.
  InnerProduct(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx,
               const InnerProduct* like = nullptr);

  std::size_t workspace_bytes() const;  // enough for either direction
  std::size_t saved_bytes() const;      // from forward to backward: x and w as the products read them
  Desc stored_weights() const { return gradient_weights(); }

  // `saved` has saved_bytes(); null in inference, and in both directions if that is 0.
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
    std::byte *x, *w;  // copies of the operands
  };
  Copies take_copies(HostAllocator& memory) const;
  struct Layout {
    std::byte *scratch, *dy, *w;  // copies of dy, and of w if backward needs another layout
    Copies copies;                // for forward in inference
  };
  Layout lay_out(HostAllocator& memory) const;

  const CpuContext& context_;
  std::size_t inputs_, outputs_;  // floats of x and of y
  bool wants_dx_;
};

}  // namespace trainer::cpu
