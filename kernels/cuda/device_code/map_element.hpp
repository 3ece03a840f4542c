// The types that maps are stored in on the device. Kernels compute in fp32: they convert what they read and round what
// they write.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/op.hpp"
#include "kernels/precision.hpp"

namespace trainer::cuda {

template <typename T>
struct ElementType {
  using Type = T;
};

// Calls visit(ElementType<T>{}) with the type of `element`.
template <typename Visit>
decltype(auto) visit_element(Element element, const Visit& visit) {
  if (element == Element::fp16) return visit(ElementType<__half>{});
  if (element == Element::bf16) return visit(ElementType<__nv_bfloat16>{});
  return visit(ElementType<float>{});
}

// What kernels take of OpArgs, with maps of type T; kernels with more arguments extend it.
template <typename T>
struct MapArgs {
  MapArgs() = default;
  explicit MapArgs(const OpArgs& args)
      : training(args.mode == Mode::training),
        x(static_cast<const T*>(args.x)),
        y(static_cast<T*>(args.y)),
        dy(static_cast<const T*>(args.dy)),
        dx(static_cast<T*>(args.dx)),
        w(args.w),
        b(args.b),
        dw(args.dw),
        db(args.db),
        selected(args.selected) {}

  bool training = false;
  const T* x = nullptr;
  T* y = nullptr;
  const T* dy = nullptr;
  T* dx = nullptr;
  const float* w = nullptr;
  const float* b = nullptr;
  float* dw = nullptr;
  float* db = nullptr;
  const std::uint8_t* selected = nullptr;  // null: all valid rows; the dy of others is 0
};

}  // namespace trainer::cuda
