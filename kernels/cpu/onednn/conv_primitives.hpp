// The three convolutions of a layer by oneDNN, for a shard of a batch that is divided into slices: the arrays of a slice
// stay in the cache between the convolution and the operations before and after it. Maps are NHWC; each of the
// three needs the weights in a layout of its own.
#pragma once

#include <cstddef>
#include <map>

#include "kernels/cpu/onednn/products.hpp"

namespace trainer::cpu {

// The layout [out, k, k, c] in which weights are initialised, stored and saved.
inline Desc canonical_weights(const ConvDesc& desc) {
  return float_desc({desc.out, desc.in.c, desc.kernel, desc.kernel}, Tag::acdb);
}

// Which of the three convolutions are made.
enum class Directions { forward, forward_and_weights, all };

// The convolutions for a fixed number of images: x [images, h, w, c]; y and dy [images, h', w', out], before any pool. x, dy and w
// have input_type(context), w in the layout of the call's *_weights(); outputs are fp32. Only what has been made may be called.
class ConvPrimitives {
 public:
  // `like`, if given, is the same layer for another number of images, whose weight layouts are reused.
  ConvPrimitives(const CpuContext& context, const ConvDesc& desc, std::size_t images, Directions directions,
                 const ConvPrimitives* like);

  std::size_t images() const { return images_; }
  std::size_t scratch_bytes() const {
    return std::max({forward_.scratch_bytes(), data_.scratch_bytes(), weights_.scratch_bytes()});
  }
  Desc forward_weights() const { return forward_.desc.weights_desc(); }
  Desc data_weights() const { return data_.desc.weights_desc(); }
  Desc gradient_weights() const { return weights_.desc.diff_weights_desc(); }

  void forward(const void* x, const void* w, const float* b, float* y, std::byte* scratch) const {
    forward_.execute(dnn_, scratch,
                     {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_BIAS, b}, {DNNL_ARG_DST, y}});
  }
  void backward_data(const void* dy, const void* w, float* dx, std::byte* scratch) const {
    data_.execute(dnn_, scratch, {{DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DIFF_SRC, dx}});
  }
  void backward_weights(const void* x, const void* dy, float* dw, float* db, std::byte* scratch) const {
    weights_.execute(
        dnn_, scratch,
        {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_WEIGHTS, dw}, {DNNL_ARG_DIFF_BIAS, db}});
  }

 private:
  const OneDnn& dnn_;
  std::size_t images_;
  Ready<dnnl::convolution_forward> forward_;
  Ready<dnnl::convolution_backward_data> data_;
  Ready<dnnl::convolution_backward_weights> weights_;
};

// The shards of a batch divided into slices of equal size, and a smaller one for the rest.
class ConvSlices {
 public:
  ConvSlices(const CpuContext& context, const ConvDesc& desc, int batch, Directions directions);

  const ConvPrimitives& first() const { return slice_; }
  std::size_t map_floats() const { return map_floats_; }  // per image

  // What a thread needs for any direction.
  struct Layout {
    std::byte* scratch;
    std::byte* x;  // copy of the operand
  };
  Layout lay_out(HostAllocator& memory) const;

  // The images of a slice as its convolution reads them, cast into `copy` if necessary.
  const void* x_operand(const void* x, const ConvPrimitives& slice, std::size_t first, std::byte* copy) const;

  // Calls body(primitives, first image) for each slice of a shard.
  template <typename Body>
  void for_each(const Shard& shard, const Body& body) const {
    std::size_t first = shard.begin;
    for (; first + slice_.images() <= shard.end; first += slice_.images()) body(slice_, first);
    if (first < shard.end) body(rests_.at(shard.end - first), first);
  }

 private:
  const CpuContext& context_;
  ConvDesc desc_;
  std::size_t map_floats_;
  ConvPrimitives slice_;
  std::map<std::size_t, ConvPrimitives> rests_;  // keyed by their images
};

}  // namespace trainer::cpu
