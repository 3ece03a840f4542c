// The norm of the gradients, which lie in one array (kernels/math/clipping.hpp).
#pragma once

#include "kernels/portable/lanes.hpp"
#include "kernels/portable/units.hpp"

namespace trainer::portable {

constexpr int kClipPieces = 1024;

// The sums of squares of so many pieces of the array, in double. Unit: a piece.
struct GradientSquares {
  int count = 0;
  const float* dw = nullptr;
  double* squares = nullptr;

  HOST_DEVICE Units units() const { return {kClipPieces, 1, 1, pieces(count, kClipPieces)}; }
  HOST_DEVICE void unit(int piece) const {
    const int size = pieces(count, kClipPieces);
    const int begin = piece * size < count ? piece * size : count;
    const int end = begin + size < count ? begin + size : count;
    double sum = 0;
    DEVICE_UNROLL(8)
    for (int i = begin; i < end; ++i) {
      const auto g = static_cast<double>(read<float>(dw + i));
      sum = sum + g * g;
    }
    squares[piece] = sum;
  }
};

}  // namespace trainer::portable
