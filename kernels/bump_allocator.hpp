// A bump allocator: hands out pieces of one block of memory, one behind the other and each aligned. Without
// memory its pieces are null and it only counts, so that what takes the pieces also tells how much it needs.
#pragma once

#include <cstddef>

namespace trainer {

template <std::size_t kAlignment>
class BumpAllocator {
 public:
  explicit BumpAllocator(std::byte* memory) : memory_(memory) {}

  template <typename T>
  T* take(std::size_t count) {
    std::byte* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += aligned(count * sizeof(T));
    return reinterpret_cast<T*>(piece);
  }
  std::size_t used() const { return used_; }

  static constexpr std::size_t aligned(std::size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  // The bytes of all that lay_out(allocator) takes.
  template <typename Take>
  static std::size_t bytes(const Take& lay_out) {
    BumpAllocator counting(nullptr);
    lay_out(counting);
    return counting.used();
  }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

using HostAllocator = BumpAllocator<64>;     // lines of a processor's cache
using DeviceAllocator = BumpAllocator<256>;  // what libraries and vector loads of a GPU ask for

}  // namespace trainer
