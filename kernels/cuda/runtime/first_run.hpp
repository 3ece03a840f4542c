// An op's first run, when it is prepared: a capture must not be the first to launch a kernel or to call a
// library, since both may load code then. Our kernels are only loaded (LaunchQueue::loads) and look at no
// memory; a library's passes do run, on scratch.
#pragma once

#include "kernels/bump_allocator.hpp"
#include "kernels/op.hpp"

namespace trainer::cuda {

// Arguments of training with everything that `op` may be given, cut from `memory`; its maps are of `element`.
inline OpArgs first_arguments(const Op& op, Element element, bool wants_dx, DeviceAllocator& memory) {
  const auto batch = static_cast<std::size_t>(op.batch());
  const auto map = [&](const Shape& shape) {
    return memory.take<std::byte>(element_bytes(element) * batch * shape.size());
  };
  OpArgs args;
  args.x = map(in_shape(op.desc()));
  args.y = map(out_shape(op.desc()));
  args.dy = map(out_shape(op.desc()));
  if (wants_dx) args.dx = map(in_shape(op.desc()));
  int index = 0;
  for (const ParameterDesc& parameter : parameters(op.desc())) {
    const std::size_t count = op.stored_count(index++);
    auto* value = memory.take<float>(count);
    args.bind(parameter.role, value, is_trained(parameter.role) ? memory.take<float>(count) : nullptr);
  }
  args.cast_w = args.w;
  args.saved = memory.take<std::byte>(op.saved_bytes());
  args.workspace = memory.take<std::byte>(op.workspace_bytes());
  args.labels = memory.take<std::uint8_t>(batch);
  args.selected = memory.take<std::uint8_t>(batch);
  args.state = memory.take<StepState>(1);
  return args;
}

// Forward in both modes, and backward.
inline void run_first(Op& op, OpArgs args) {
  op.forward(args);
  op.backward(args);
  args.mode = Mode::inference;
  args.saved = nullptr;
  op.forward(args);
}

}  // namespace trainer::cuda
