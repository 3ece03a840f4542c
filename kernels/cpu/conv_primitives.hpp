// The three convolutions of a layer (forward, by data, by weights) for a fixed number of images, by oneDNN.
// Maps are NHWC; each of the three wants the weights in a layout of its own, which the layer's op brings
// about.
#pragma once

#include <cstddef>

#include "kernels/cpu/context.hpp"

namespace trainer::cpu {

class ConvPrimitives {
 public:
  // `like`, if given, is the same layer for another number of images, whose weight layouts are to be kept.
  ConvPrimitives(const OneDnn& dnn, const ConvDesc& desc, int images, bool wants_dx,
                 const ConvPrimitives* like);

  int images() const { return images_; }
  std::size_t scratch_bytes() const;
  Desc forward_weights() const { return forward_.desc.weights_desc(); }
  Desc data_weights() const { return backward_data_.desc.weights_desc(); }
  Desc gradient_weights() const { return backward_weights_.desc.diff_weights_desc(); }

  // x [images, h, w, c], map [images, h', w', out]; w in the layout of the call's *_weights().
  void forward(const float* x, const float* w, const float* b, float* map, std::byte* scratch) const;
  void backward_data(const float* dmap, const float* w, float* dx, std::byte* scratch) const;
  void backward_weights(const float* x, const float* dmap, float* dw, float* db, std::byte* scratch) const;

 private:
  const OneDnn& dnn_;
  int images_;
  bool wants_dx_;
  Desc bias_;
  Ready<dnnl::convolution_forward> forward_;
  Ready<dnnl::convolution_backward_data> backward_data_;
  Ready<dnnl::convolution_backward_weights> backward_weights_;
};

}  // namespace trainer::cpu
