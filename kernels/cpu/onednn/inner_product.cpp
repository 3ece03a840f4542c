// oneDNN's inner product, made once and run on whatever memory a step brings. In fp32 all three share one
// layout of the weights.
#include "kernels/cpu/onednn/inner_product.hpp"

#include <algorithm>

#include "kernels/cpu/onednn/operands.hpp"

namespace trainer::cpu {

InnerProduct::InnerProduct(const CpuContext& context, const InnerProductShape& shape,
                           const InnerProduct* like)
    : context_(context), shape_(shape) {
  const dnnl::engine& engine = context.dnn.engine;
  const Type input = input_type(context);
  const Dims in{shape.batch, shape.in};
  const Dims out{shape.batch, shape.out};
  const Dims weights{shape.out, shape.in};
  const Desc x(in, input, Tag::nc);
  const Desc dy(out, input, Tag::nc);
  if (shape.bias) bias_ = float_desc({shape.out}, Tag::x);
  forward_.make(describe_primitive<dnnl::inner_product_forward>(
      engine, user_scratch(), dnnl::prop_kind::forward_training, x,
      like != nullptr ? like->forward_.desc.weights_desc() : Desc(weights, input, Tag::any), bias_,
      float_desc(out, Tag::nc)));
  const bool same = input == Type::f32;
  backward_weights_.make(describe_backward<dnnl::inner_product_backward_weights>(
      engine, user_scratch(), forward_.desc, x,
      same ? forward_.desc.weights_desc() : float_desc(weights, Tag::any), bias_, dy));
  stored_ = backward_weights_.desc.diff_weights_desc();
  if (!shape.wants_dx) return;
  backward_data_.make(describe_backward<dnnl::inner_product_backward_data>(
      engine, user_scratch(), forward_.desc, float_desc(in, Tag::nc),
      same ? forward_.desc.weights_desc() : Desc(weights, input, Tag::any), dy));
}

InnerProduct::Copies InnerProduct::take_copies(HostAllocator& memory) const {
  const auto inputs = static_cast<std::size_t>(shape_.batch) * static_cast<std::size_t>(shape_.in);
  return {memory.take<std::byte>(operand_bytes(context_, inputs)),
          memory.take<std::byte>(weights_bytes(stored_, forward_.desc.weights_desc()))};
}

InnerProduct::Layout InnerProduct::lay_out(HostAllocator& memory) const {
  const auto outputs = static_cast<std::size_t>(shape_.batch) * static_cast<std::size_t>(shape_.out);
  const bool data = shape_.wants_dx;
  Layout p{};
  p.scratch = memory.take<std::byte>(std::max({forward_.scratch_bytes(), backward_weights_.scratch_bytes(),
                                               data ? backward_data_.scratch_bytes() : 0}));
  p.dy = memory.take<std::byte>(operand_bytes(context_, outputs));
  p.w = memory.take<std::byte>(data ? weights_bytes(stored_, backward_data_.desc.weights_desc()) : 0);
  p.copies = take_copies(memory);
  return p;
}

std::size_t InnerProduct::workspace_bytes() const {
  return HostAllocator::bytes([&](auto& memory) { lay_out(memory); });
}

std::size_t InnerProduct::saved_bytes() const {
  return HostAllocator::bytes([&](auto& memory) { take_copies(memory); });
}

void InnerProduct::store(const float* canonical, float* stored) const {
  context_.dnn.reorder(float_desc({shape_.out, shape_.in}, Tag::ab), canonical, stored_, stored);
}

void InnerProduct::fetch(const float* stored, float* canonical) const {
  context_.dnn.reorder(stored_, stored, float_desc({shape_.out, shape_.in}, Tag::ab), canonical);
}

void InnerProduct::forward(const float* x, const float* w, const float* b, float* y, std::byte* workspace,
                           std::byte* saved) const {
  HostAllocator memory(workspace);
  const Layout p = lay_out(memory);
  HostAllocator kept(saved);
  const Copies copies = saved == nullptr ? p.copies : take_copies(kept);
  const std::size_t inputs = static_cast<std::size_t>(shape_.batch) * static_cast<std::size_t>(shape_.in);
  const auto& d = forward_.desc;
  const OneDnn& dnn = context_.dnn;
  const void* x_in = operand(context_, x, inputs, copies.x);
  const void* w_in = weights_as(context_, stored_, w, d.weights_desc(), copies.w);
  forward_.run.execute(dnn.stream, {{DNNL_ARG_SRC, dnn.view(d.src_desc(), x_in)},
                                    {DNNL_ARG_WEIGHTS, dnn.view(d.weights_desc(), w_in)},
                                    {DNNL_ARG_BIAS, dnn.view(bias_, b)},
                                    {DNNL_ARG_DST, dnn.view(d.dst_desc(), y)},
                                    {DNNL_ARG_SCRATCHPAD, dnn.view(d.scratchpad_desc(), p.scratch)}});
}

void InnerProduct::backward(const float* x, const float* dy, const float* w, const Gradients& gradients,
                            std::byte* workspace, std::byte* saved) const {
  HostAllocator memory(workspace);
  const Layout p = lay_out(memory);
  const std::size_t outputs = static_cast<std::size_t>(shape_.batch) * static_cast<std::size_t>(shape_.out);
  HostAllocator kept(saved);
  const Copies copies = take_copies(kept);
  const bool cast = context_.bf16 != nullptr;
  const void* dy_in = operand(context_, dy, outputs, p.dy);
  backward_weights(cast ? static_cast<const void*>(copies.x) : x, dy_in, gradients.dw, gradients.db,
                   p.scratch);
  if (gradients.dx == nullptr) return;
  const Desc& wanted = backward_data_.desc.weights_desc();
  const bool kept_w = cast && wanted == forward_.desc.weights_desc();
  const void* w_in =
      kept_w ? static_cast<const void*>(copies.w) : weights_as(context_, stored_, w, wanted, p.w);
  backward_data(dy_in, w_in, gradients.dx, p.scratch);
}

void InnerProduct::backward_data(const void* dy, const void* w, float* dx, std::byte* scratch) const {
  const auto& d = backward_data_.desc;
  const OneDnn& dnn = context_.dnn;
  backward_data_.run.execute(dnn.stream, {{DNNL_ARG_DIFF_DST, dnn.view(d.diff_dst_desc(), dy)},
                                          {DNNL_ARG_WEIGHTS, dnn.view(d.weights_desc(), w)},
                                          {DNNL_ARG_DIFF_SRC, dnn.view(d.diff_src_desc(), dx)},
                                          {DNNL_ARG_SCRATCHPAD, dnn.view(d.scratchpad_desc(), scratch)}});
}

void InnerProduct::backward_weights(const void* x, const void* dy, float* dw, float* db,
                                    std::byte* scratch) const {
  const auto& d = backward_weights_.desc;
  const OneDnn& dnn = context_.dnn;
  backward_weights_.run.execute(dnn.stream, {{DNNL_ARG_SRC, dnn.view(d.src_desc(), x)},
                                             {DNNL_ARG_DIFF_DST, dnn.view(d.diff_dst_desc(), dy)},
                                             {DNNL_ARG_DIFF_WEIGHTS, dnn.view(d.diff_weights_desc(), dw)},
                                             {DNNL_ARG_DIFF_BIAS, dnn.view(bias_, db)},
                                             {DNNL_ARG_SCRATCHPAD, dnn.view(d.scratchpad_desc(), scratch)}});
}

}  // namespace trainer::cpu
