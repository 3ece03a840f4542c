// A bump allocator: it hands out consecutive, aligned pieces of one block of memory. Without memory the pieces
// are null and it only counts, so that the code that takes the pieces also tells how many bytes it needs.
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
  // The number of bytes that lay_out(allocator) takes in all.
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

using HostAllocator = BumpAllocator<64>;     // a cache line
using DeviceAllocator = BumpAllocator<256>;  // the alignment that GPU libraries and vector loads need

}  // namespace trainer
