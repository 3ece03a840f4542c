// oneDNN's inner product, made once and run on whatever memory a step brings.
#include "kernels/cpu/inner_product.hpp"

#include <algorithm>

namespace trainer::cpu {

namespace {

Desc bias_desc(const InnerProductShape& s) {
  return s.bias ? float_desc({s.out}, Tag::x) : Desc();
}

}  // namespace

InnerProduct::InnerProduct(const OneDnn& dnn, const InnerProductShape& shape) : dnn_(dnn), shape_(shape) {
  const Desc x = float_desc({shape.batch, shape.in}, Tag::nc);
  const Desc y = float_desc({shape.batch, shape.out}, Tag::nc);
  const Desc b = bias_desc(shape);
  const Desc any = float_desc({shape.out, shape.in}, Tag::any);
  forward_.make(describe_primitive<dnnl::inner_product_forward>(
      dnn.engine, user_scratch(), dnnl::prop_kind::forward_training, x, any, b, y));
  const Desc w = forward_.desc.weights_desc();
  backward_weights_.make(describe_backward<dnnl::inner_product_backward_weights>(dnn.engine, user_scratch(),
                                                                                 forward_.desc, x, w, b, y));
  if (!shape.wants_dx) return;
  backward_data_.make(describe_backward<dnnl::inner_product_backward_data>(dnn.engine, user_scratch(),
                                                                           forward_.desc, x, w, y));
}

std::size_t InnerProduct::scratch_bytes() const {
  const std::size_t data = shape_.wants_dx ? backward_data_.scratch_bytes() : 0;
  return std::max({forward_.scratch_bytes(), backward_weights_.scratch_bytes(), data});
}

void InnerProduct::store(const float* canonical, float* stored) const {
  dnn_.reorder(float_desc({shape_.out, shape_.in}, Tag::ab), canonical, forward_.desc.weights_desc(), stored);
}

void InnerProduct::fetch(const float* stored, float* canonical) const {
  dnn_.reorder(forward_.desc.weights_desc(), stored, float_desc({shape_.out, shape_.in}, Tag::ab), canonical);
}

void InnerProduct::forward(const float* x, const float* w, const float* b, float* y,
                           std::byte* scratch) const {
  const auto& d = forward_.desc;
  forward_.run.execute(dnn_.stream, {{DNNL_ARG_SRC, dnn_.view(d.src_desc(), x)},
                                     {DNNL_ARG_WEIGHTS, dnn_.view(d.weights_desc(), w)},
                                     {DNNL_ARG_BIAS, dnn_.view(bias_desc(shape_), b)},
                                     {DNNL_ARG_DST, dnn_.view(d.dst_desc(), y)},
                                     {DNNL_ARG_SCRATCHPAD, dnn_.view(d.scratchpad_desc(), scratch)}});
}

void InnerProduct::backward_data(const float* dy, const float* w, float* dx, std::byte* scratch) const {
  const auto& d = backward_data_.desc;
  backward_data_.run.execute(dnn_.stream, {{DNNL_ARG_DIFF_DST, dnn_.view(d.diff_dst_desc(), dy)},
                                           {DNNL_ARG_WEIGHTS, dnn_.view(d.weights_desc(), w)},
                                           {DNNL_ARG_DIFF_SRC, dnn_.view(d.diff_src_desc(), dx)},
                                           {DNNL_ARG_SCRATCHPAD, dnn_.view(d.scratchpad_desc(), scratch)}});
}

void InnerProduct::backward_weights(const float* x, const float* dy, float* dw, float* db,
                                    std::byte* scratch) const {
  const auto& d = backward_weights_.desc;
  backward_weights_.run.execute(dnn_.stream,
                                {{DNNL_ARG_SRC, dnn_.view(d.src_desc(), x)},
                                 {DNNL_ARG_DIFF_DST, dnn_.view(d.diff_dst_desc(), dy)},
                                 {DNNL_ARG_DIFF_WEIGHTS, dnn_.view(d.diff_weights_desc(), dw)},
                                 {DNNL_ARG_DIFF_BIAS, dnn_.view(bias_desc(shape_), db)},
                                 {DNNL_ARG_SCRATCHPAD, dnn_.view(d.scratchpad_desc(), scratch)}});
}

}  // namespace trainer::cpu
