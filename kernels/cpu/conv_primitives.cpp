// oneDNN's direct convolution in its three directions.
#include "kernels/cpu/conv_primitives.hpp"

#include <algorithm>

namespace trainer::cpu {

ConvPrimitives::ConvPrimitives(const OneDnn& dnn, const ConvDesc& desc, int images, bool wants_dx,
                               const ConvPrimitives* like)
    : dnn_(dnn), images_(images), wants_dx_(wants_dx) {
  const Shape map = conv_map(desc);
  const Dims stride{desc.stride, desc.stride};
  const Dims begin{desc.pad.top, desc.pad.left};
  const Dims end{desc.pad.bottom, desc.pad.right};
  const Desc x = float_desc({images, desc.in.c, desc.in.h, desc.in.w}, Tag::nhwc);
  const Desc y = float_desc({images, map.c, map.h, map.w}, Tag::nhwc);
  const Desc any = float_desc({desc.out, desc.in.c, desc.kernel, desc.kernel}, Tag::any);
  if (desc.bias) bias_ = float_desc({desc.out}, Tag::x);
  const auto direct = dnnl::algorithm::convolution_direct;

  // ReLU is fused unless a pool comes first, which then applies it.
  forward_.make(describe_primitive<dnnl::convolution_forward>(
      dnn.engine, user_scratch(desc.relu && !desc.pool), dnnl::prop_kind::forward_training, direct, x,
      like != nullptr ? like->forward_weights() : any, bias_, y, stride, begin, end));
  backward_weights_.make(describe_backward<dnnl::convolution_backward_weights>(
      dnn.engine, user_scratch(), forward_.desc, direct, x, like != nullptr ? like->gradient_weights() : any,
      bias_, y, stride, begin, end));
  if (!wants_dx) return;
  backward_data_.make(describe_backward<dnnl::convolution_backward_data>(
      dnn.engine, user_scratch(), forward_.desc, direct, x, like != nullptr ? like->data_weights() : any, y,
      stride, begin, end));
}

std::size_t ConvPrimitives::scratch_bytes() const {
  const std::size_t data = wants_dx_ ? backward_data_.scratch_bytes() : 0;
  return std::max({forward_.scratch_bytes(), backward_weights_.scratch_bytes(), data});
}

void ConvPrimitives::forward(const float* x, const float* w, const float* b, float* map,
                             std::byte* scratch) const {
  const auto& d = forward_.desc;
  forward_.run.execute(dnn_.stream, {{DNNL_ARG_SRC, dnn_.view(d.src_desc(), x)},
                                     {DNNL_ARG_WEIGHTS, dnn_.view(d.weights_desc(), w)},
                                     {DNNL_ARG_BIAS, dnn_.view(bias_, b)},
                                     {DNNL_ARG_DST, dnn_.view(d.dst_desc(), map)},
                                     {DNNL_ARG_SCRATCHPAD, dnn_.view(d.scratchpad_desc(), scratch)}});
}

void ConvPrimitives::backward_data(const float* dmap, const float* w, float* dx, std::byte* scratch) const {
  const auto& d = backward_data_.desc;
  backward_data_.run.execute(dnn_.stream, {{DNNL_ARG_DIFF_DST, dnn_.view(d.diff_dst_desc(), dmap)},
                                           {DNNL_ARG_WEIGHTS, dnn_.view(d.weights_desc(), w)},
                                           {DNNL_ARG_DIFF_SRC, dnn_.view(d.diff_src_desc(), dx)},
                                           {DNNL_ARG_SCRATCHPAD, dnn_.view(d.scratchpad_desc(), scratch)}});
}

void ConvPrimitives::backward_weights(const float* x, const float* dmap, float* dw, float* db,
                                      std::byte* scratch) const {
  const auto& d = backward_weights_.desc;
  backward_weights_.run.execute(dnn_.stream,
                                {{DNNL_ARG_SRC, dnn_.view(d.src_desc(), x)},
                                 {DNNL_ARG_DIFF_DST, dnn_.view(d.diff_dst_desc(), dmap)},
                                 {DNNL_ARG_DIFF_WEIGHTS, dnn_.view(d.diff_weights_desc(), dw)},
                                 {DNNL_ARG_DIFF_BIAS, dnn_.view(bias_, db)},
                                 {DNNL_ARG_SCRATCHPAD, dnn_.view(d.scratchpad_desc(), scratch)}});
}

}  // namespace trainer::cpu
