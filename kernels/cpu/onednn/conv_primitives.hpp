// The three convolutions of a layer by oneDNN, for a batch that is cut into slices: the arrays of a slice
// stay in the cache between a convolution and what stands before or behind it. Maps are NHWC; each of the
// three wants the weights in a layout of its own, which the layer's op brings about.
#pragma once

#include <cstddef>
#include <optional>

#include "kernels/cpu/onednn/products.hpp"

namespace trainer::cpu {

// The layout [out, k, k, c] in which weights are initialised and saved.
inline Desc canonical_weights(const ConvDesc& desc) {
  return float_desc({desc.out, desc.in.c, desc.kernel, desc.kernel}, Tag::acdb);
}

// Which of the three are made.
enum class Directions { forward, forward_and_weights, all };

// For a fixed number of images: x [images, h, w, c], y and dy the map [images, h', w', out] before a pool.
class ConvPrimitives : public Products<dnnl::convolution_forward, dnnl::convolution_backward_data,
                                       dnnl::convolution_backward_weights> {
 public:
  // `like`, if given, is the same layer for another number of images, whose weight layouts are to be kept.
  ConvPrimitives(const CpuContext& context, const ConvDesc& desc, int images, Directions directions,
                 const ConvPrimitives* like);

  std::size_t images() const { return images_; }

 private:
  std::size_t images_;
};

// A batch cut into slices of equal size, and a smaller one for the rest.
class ConvSlices {
 public:
  ConvSlices(const CpuContext& context, const ConvDesc& desc, int batch, Directions directions);

  const ConvPrimitives& first() const { return slice_; }
  std::size_t map_floats() const { return map_floats_; }  // of one image

  // What all directions take of the workspace.
  struct Layout {
    std::byte* scratch;
    std::byte *w, *x;  // operands
  };
  Layout lay_out(HostAllocator& memory, const Desc& stored) const;

  // The images of a slice as its convolution reads them, cast into `copy` where need be.
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
