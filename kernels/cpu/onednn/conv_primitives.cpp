// oneDNN's direct convolution in its three directions.
#include "kernels/cpu/onednn/conv_primitives.hpp"

#include <algorithm>

namespace trainer::cpu {

namespace {

constexpr std::size_t kSliceBytes = 1 << 20;  // input and map of a slice, a thread: a core's L2 cache

// Images to a slice: a multiple of the threads, and if possible a divisor of the batch.
int slice_images(const ConvDesc& desc, int batch, int threads) {
  const std::size_t image = (desc.in.size() + conv_map(desc).size()) * sizeof(float);
  const auto fitting = static_cast<int>(kSliceBytes * static_cast<std::size_t>(threads) / image);
  const int most = std::clamp(fitting / threads * threads, std::min(threads, batch), batch);
  for (int images = most; images >= std::max(1, most / 2); --images) {
    if (batch % images == 0 && images % threads == 0) return images;
  }
  return most;
}

}  // namespace

ConvPrimitives::ConvPrimitives(const CpuContext& context, const ConvDesc& desc, int images,
                               Directions directions, const ConvPrimitives* like)
    : dnn_(context.dnn), images_(images), directions_(directions) {
  const dnnl::engine& engine = dnn_.engine;
  const Type input = input_type(context);
  const Shape map = conv_map(desc);
  const Dims stride{desc.stride, desc.stride};
  const Dims begin{desc.pad.top, desc.pad.left};
  const Dims end{desc.pad.bottom, desc.pad.right};
  const Dims images_in{images, desc.in.c, desc.in.h, desc.in.w};
  const Dims images_out{images, map.c, map.h, map.w};
  const Dims filters{desc.out, desc.in.c, desc.kernel, desc.kernel};
  const Desc x(images_in, input, Tag::nhwc);
  const Desc dmap(images_out, input, Tag::nhwc);
  const Desc any(filters, input, Tag::any);
  if (desc.bias) bias_ = float_desc({desc.out}, Tag::x);
  const auto direct = dnnl::algorithm::convolution_direct;

  forward_.make(describe_primitive<dnnl::convolution_forward>(
      engine, user_scratch(), dnnl::prop_kind::forward_training, direct, x,
      like != nullptr ? like->forward_weights() : any, bias_, float_desc(images_out, Tag::nhwc), stride,
      begin, end));
  if (directions == Directions::forward) return;
  backward_weights_.make(describe_backward<dnnl::convolution_backward_weights>(
      engine, user_scratch(), forward_.desc, direct, x,
      like != nullptr ? like->gradient_weights() : float_desc(filters, Tag::any), bias_, dmap, stride, begin,
      end));
  if (directions != Directions::all) return;
  backward_data_.make(describe_backward<dnnl::convolution_backward_data>(
      engine, user_scratch(), forward_.desc, direct, float_desc(images_in, Tag::nhwc),
      like != nullptr ? like->data_weights() : any, dmap, stride, begin, end));
}

std::size_t ConvPrimitives::scratch_bytes() const {
  const std::size_t weights = directions_ == Directions::forward ? 0 : backward_weights_.scratch_bytes();
  const std::size_t data = directions_ == Directions::all ? backward_data_.scratch_bytes() : 0;
  return std::max({forward_.scratch_bytes(), weights, data});
}

void ConvPrimitives::forward(const void* x, const void* w, const float* b, float* map,
                             std::byte* scratch) const {
  const auto& d = forward_.desc;
  forward_.run.execute(dnn_.stream, {{DNNL_ARG_SRC, dnn_.view(d.src_desc(), x)},
                                     {DNNL_ARG_WEIGHTS, dnn_.view(d.weights_desc(), w)},
                                     {DNNL_ARG_BIAS, dnn_.view(bias_, b)},
                                     {DNNL_ARG_DST, dnn_.view(d.dst_desc(), map)},
                                     {DNNL_ARG_SCRATCHPAD, dnn_.view(d.scratchpad_desc(), scratch)}});
}

void ConvPrimitives::backward_data(const void* dmap, const void* w, float* dx, std::byte* scratch) const {
  const auto& d = backward_data_.desc;
  backward_data_.run.execute(dnn_.stream, {{DNNL_ARG_DIFF_DST, dnn_.view(d.diff_dst_desc(), dmap)},
                                           {DNNL_ARG_WEIGHTS, dnn_.view(d.weights_desc(), w)},
                                           {DNNL_ARG_DIFF_SRC, dnn_.view(d.diff_src_desc(), dx)},
                                           {DNNL_ARG_SCRATCHPAD, dnn_.view(d.scratchpad_desc(), scratch)}});
}

void ConvPrimitives::backward_weights(const void* x, const void* dmap, float* dw, float* db,
                                      std::byte* scratch) const {
  const auto& d = backward_weights_.desc;
  backward_weights_.run.execute(dnn_.stream,
                                {{DNNL_ARG_SRC, dnn_.view(d.src_desc(), x)},
                                 {DNNL_ARG_DIFF_DST, dnn_.view(d.diff_dst_desc(), dmap)},
                                 {DNNL_ARG_DIFF_WEIGHTS, dnn_.view(d.diff_weights_desc(), dw)},
                                 {DNNL_ARG_DIFF_BIAS, dnn_.view(bias_, db)},
                                 {DNNL_ARG_SCRATCHPAD, dnn_.view(d.scratchpad_desc(), scratch)}});
}

ConvSlices::ConvSlices(const CpuContext& context, const ConvDesc& desc, int batch, Directions directions)
    : batch_(batch), slice_(context, desc, slice_images(desc, batch, context.threads), directions, nullptr) {
  const int rest = batch % slice_.images();
  if (rest > 0) rest_.emplace(context, desc, rest, directions, &slice_);
}

std::size_t ConvSlices::scratch_bytes() const {
  return std::max(slice_.scratch_bytes(), rest_ ? rest_->scratch_bytes() : 0);
}

}  // namespace trainer::cpu
