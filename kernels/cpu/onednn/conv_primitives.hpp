// The three convolutions of a layer (forward, by data, by weights) for a fixed number of images, by oneDNN.
// Maps are NHWC; inputs are of input_type(context), and each of the three wants the weights in a layout of
// its own, which the layer's op brings about.
#pragma once

#include <cstddef>
#include <optional>

#include "kernels/cpu/runtime/context.hpp"

namespace trainer::cpu {

// The layout [out, k, k, c] in which weights are initialised and saved.
inline Desc canonical_weights(const ConvDesc& desc) {
  return float_desc({desc.out, desc.in.c, desc.kernel, desc.kernel}, Tag::acdb);
}

// Which of the three are made.
enum class Directions { forward, forward_and_weights, all };

class ConvPrimitives {
 public:
  // `like`, if given, is the same layer for another number of images, whose weight layouts are to be kept.
  ConvPrimitives(const CpuContext& context, const ConvDesc& desc, int images, Directions directions,
                 const ConvPrimitives* like);

  int images() const { return images_; }
  std::size_t scratch_bytes() const;
  Desc forward_weights() const { return forward_.desc.weights_desc(); }
  Desc data_weights() const { return backward_data_.desc.weights_desc(); }
  Desc gradient_weights() const { return backward_weights_.desc.diff_weights_desc(); }

  // x [images, h, w, c] and dmap [images, h', w', out] of input_type(context); w in the layout and type of
  // the call's *_weights(). What is written is fp32.
  void forward(const void* x, const void* w, const float* b, float* map, std::byte* scratch) const;
  void backward_data(const void* dmap, const void* w, float* dx, std::byte* scratch) const;
  void backward_weights(const void* x, const void* dmap, float* dw, float* db, std::byte* scratch) const;

 private:
  const OneDnn& dnn_;
  int images_;
  Directions directions_;
  Desc bias_;
  Ready<dnnl::convolution_forward> forward_;
  Ready<dnnl::convolution_backward_data> backward_data_;
  Ready<dnnl::convolution_backward_weights> backward_weights_;
};

// A batch cut into slices of equal size, and a smaller one for the rest.
class ConvSlices {
 public:
  ConvSlices(const CpuContext& context, const ConvDesc& desc, int batch, Directions directions);

  const ConvPrimitives& first() const { return slice_; }
  std::size_t scratch_bytes() const;

  // Calls body(primitives, first image) for each slice.
  template <typename Body>
  void for_each(const Body& body) const {
    int first = 0;
    for (; first + slice_.images() <= batch_; first += slice_.images())
      body(slice_, static_cast<std::size_t>(first));
    if (rest_) body(*rest_, static_cast<std::size_t>(first));
  }

 private:
  int batch_;
  ConvPrimitives slice_;
  std::optional<ConvPrimitives> rest_;
};

}  // namespace trainer::cpu
