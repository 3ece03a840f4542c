// oneDNN's inner product, made once and run on the memory of each step. In fp32 all three products share one
// layout of the weights.
#include "kernels/cpu/onednn/inner_product.hpp"

namespace trainer::cpu {

InnerProduct::InnerProduct(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx,
                           const InnerProduct* like)
    : Products(context.dnn),
      context_(context),
      inputs_(static_cast<std::size_t>(batch) * static_cast<std::size_t>(desc.in)),
      outputs_(static_cast<std::size_t>(batch) * static_cast<std::size_t>(desc.out)),
      wants_dx_(wants_dx) {
  const dnnl::engine& engine = context.dnn.engine;
  const Type input = input_type(context);
  const Dims in{batch, desc.in};
  const Dims out{batch, desc.out};
  const Dims weights{desc.out, desc.in};
  const Desc x(in, input, Tag::nc);
  const Desc dy(out, input, Tag::nc);
  const Desc bias = desc.bias ? float_desc({desc.out}, Tag::x) : Desc();
  forward_.make(describe_primitive<dnnl::inner_product_forward>(
      engine, dnnl::prop_kind::forward_training, x,
      like != nullptr ? like->forward_weights() : Desc(weights, input, Tag::any), bias,
      float_desc(out, Tag::nc)));
  const bool same = input == Type::f32;
  weights_.make(describe_backward<dnnl::inner_product_backward_weights>(
      engine, forward_.desc, x, same ? forward_weights() : float_desc(weights, Tag::any), bias, dy));
  if (!wants_dx) return;
  data_.make(describe_backward<dnnl::inner_product_backward_data>(
      engine, forward_.desc, float_desc(in, Tag::nc),
      same ? forward_weights() : Desc(weights, input, Tag::any), dy));
}

InnerProduct::Copies InnerProduct::take_copies(HostAllocator& memory) const {
  return {memory.take<std::byte>(operand_bytes(context_, inputs_)),
          memory.take<std::byte>(weights_bytes(stored_weights(), forward_weights()))};
}

InnerProduct::Layout InnerProduct::lay_out(HostAllocator& memory) const {
  Layout p{};
  p.scratch = memory.take<std::byte>(scratch_bytes());
  p.dy = memory.take<std::byte>(operand_bytes(context_, outputs_));
  p.w = memory.take<std::byte>(wants_dx_ ? weights_bytes(stored_weights(), data_weights()) : 0);
  p.copies = take_copies(memory);
  return p;
}

std::size_t InnerProduct::workspace_bytes() const {
  return HostAllocator::bytes([&](auto& memory) { lay_out(memory); });
}

std::size_t InnerProduct::saved_bytes() const {
  return HostAllocator::bytes([&](auto& memory) { take_copies(memory); });
}

void InnerProduct::forward(const float* x, const float* w, const float* b, float* y, std::byte* workspace,
                           std::byte* saved) const {
  HostAllocator memory(workspace);
  const Layout p = lay_out(memory);
  HostAllocator kept(saved);
  const Copies copies = saved == nullptr ? p.copies : take_copies(kept);
  const void* x_in = operand(context_, x, inputs_, copies.x);
  const void* w_in = weights_as(context_, stored_weights(), w, forward_weights(), copies.w);
  Products::forward(x_in, w_in, b, y, p.scratch);
}

void InnerProduct::backward(const float* x, const float* dy, const float* w, const Gradients& gradients,
                            std::byte* workspace, std::byte* saved) const {
  HostAllocator memory(workspace);
  const Layout p = lay_out(memory);
  HostAllocator kept(saved);
  const Copies copies = take_copies(kept);
  const bool cast = context_.bf16 != nullptr;
  const void* dy_in = operand(context_, dy, outputs_, p.dy);
  const void* x_in = cast ? static_cast<const void*>(copies.x) : x;
  backward_weights(x_in, dy_in, gradients.dw, gradients.db, p.scratch);
  if (gradients.dx == nullptr) return;
  const bool as_forward = cast && data_weights() == forward_weights();
  const void* w_in = as_forward ? static_cast<const void*>(copies.w)
                                : weights_as(context_, stored_weights(), w, data_weights(), p.w);
  backward_data(dy_in, w_in, gradients.dx, p.scratch);
}

}  // namespace trainer::cpu
