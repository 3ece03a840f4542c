// What a C library hands out and wants back: a pointer that ends with its owner. Move-only; `destroy` is the
// library's function, whose answer is not looked at, because nothing is left to be done with it at that
// point.
//   using LtHandle = Handle<cublasLtContext, cublasLtDestroy>;
//   LtHandle handle = made<LtHandle>([](auto* out) { check(cublasLtCreate(out), "cublasLtCreate"); });
#pragma once

#include <memory>

namespace trainer::cuda {

template <typename T, auto destroy>
struct Destroyer {
  void operator()(T* object) const noexcept { static_cast<void>(destroy(object)); }
};

template <typename T, auto destroy>
using Handle = std::unique_ptr<T, Destroyer<T, destroy>>;

// `create` gets the address to write the pointer to, and throws where it fails.
template <typename H, typename Create>
H made(const Create& create) {
  typename H::pointer object = nullptr;
  create(&object);
  return H(object);
}

}  // namespace trainer::cuda
