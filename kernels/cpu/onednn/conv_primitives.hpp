// The three convolutions of a layer by oneDNN, for a batch that is divided into slices: the arrays of a slice
// stay in the cache between the convolution and the operations before and after it. Maps are NHWC; each of the
// three needs the weights in a layout of its own, to which the layer's op converts them.
#pragma once

#include <cstddef>
#include <optional>

#include "kernels/cpu/onednn/products.hpp"

namespace trainer::cpu {

// The layout [out, k, k, c] in which weights are initialised and saved.
inline Desc canonical_weights(const ConvDesc& desc) {
  return float_desc({desc.out, desc.in.c, desc.kernel, desc.kernel}, Tag::acdb);
}

// Which of the three convolutions are made.
enum class Directions { forward, forward_and_weights, all };

// The convolutions for a fixed number of images: x [images, h, w, c]; y and dy [images, h', w', out], before any pool.
class ConvPrimitives : public Products<dnnl::convolution_forward, dnnl::convolution_backward_data,
                                       dnnl::convolution_backward_weights> {
 public:
  // `like`, if given, is the same layer for another number of images, whose weight layouts are reused.
  ConvPrimitives(const CpuContext& context, const ConvDesc& desc, int images, Directions directions,
                 const ConvPrimitives* like);

  std::size_t images() const { return images_; }

 private:
  std::size_t images_;
};

// A batch divided into slices of equal size, and a smaller one for the rest.
class ConvSlices {
 public:
  ConvSlices(const CpuContext& context, const ConvDesc& desc, int batch, Directions directions);

  const ConvPrimitives& first() const { return slice_; }
  std::size_t map_floats() const { return map_floats_; }  // per image

  // The part of the workspace that all directions use.
  struct Layout {
    std::byte* scratch;
    std::byte *w, *x;  // copies of the operands
  };
  Layout lay_out(HostAllocator& memory, const Desc& stored) const;

  // The images of a slice as its convolution reads them, cast into `copy` if necessary.
  const void* x_operand(const void* x, const ConvPrimitives& slice, std::size_t first, std::byte* copy) const;

  // Calls body(primitives, first image) for each slice.
  template <typename Body>
  void for_each(const Body& body) const {
    std::size_t first = 0;
    for (; first + slice_.images() <= batch_; first += slice_.images()) body(slice_, first);
    if (rest_) body(*rest_, first);
  }

 private:
  const CpuContext& context_;
  ConvDesc desc_;
  Directions directions_;
  std::size_t batch_, map_floats_;
  ConvPrimitives slice_;
  std::optional<ConvPrimitives> rest_;
};

}  // namespace trainer::cpu
