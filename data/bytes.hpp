// Bytes: a vector of bytes whose resize() leaves new elements uninitialised. The 47 MB of training images are
// written once, by the inflater; filling them with zeros first would cost a second pass over memory.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace trainer::data {

// std::allocator, but construct() without a value default-initialises: plain bytes are left as they are.
template <class T>
class UninitializedAllocator : public std::allocator<T> {
 public:
  template <class U>
  struct rebind {
    using other = UninitializedAllocator<U>;
  };

  using std::allocator<T>::allocator;

  template <class U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Values>
  void construct(U* place, Values&&... values) {
    std::construct_at(place, std::forward<Values>(values)...);
  }
};

using Bytes = std::vector<std::uint8_t, UninitializedAllocator<std::uint8_t>>;

}  // namespace trainer::data
