// Cuts a workspace into pieces, in the order of the calls, each aligned for every library and vector load.
#pragma once

#include <cstddef>

namespace trainer::cuda {

constexpr std::size_t kPieceAlignment = 256;

constexpr std::size_t piece_bytes(std::size_t bytes) {
  return (bytes + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment;
}

class Carver {
 public:
  explicit Carver(std::byte* memory) : next_(memory) {}
  template <typename T>
  T* take(std::size_t bytes) {
    T* piece = reinterpret_cast<T*>(next_);
    next_ += piece_bytes(bytes);
    return piece;
  }

 private:
  std::byte* next_;
};

}  // namespace trainer::cuda
