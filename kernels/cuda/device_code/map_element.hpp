// The types that maps are stored in on the device. Kernels compute in fp32: they convert what they read and round what
// they write.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/precision.hpp"

namespace trainer::cuda {

template <typename T>
struct ElementType {
  using Type = T;
};

// Calls visit(ElementType<T>{}) with the type of `element`.
template <typename Visit>
decltype(auto) visit_element(Element element, const Visit& visit) {
  switch (element) {
    case Element::fp16:
      return visit(ElementType<__half>{});
    case Element::bf16:
      return visit(ElementType<__nv_bfloat16>{});
    case Element::fp32:
      break;
  }
  return visit(ElementType<float>{});
}

}  // namespace trainer::cuda
