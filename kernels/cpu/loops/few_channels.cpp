// Convolution by 3 x 3 of a map of few channels with max pooling 2 x 2, in one go: the outputs of two windows
// side by side stay in registers for two vectors of output channels, and only the largest are written. The
// filters are [3, 3, in, out], so that the vectors run over output channels and each input is loaded once and
// broadcast.
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/pool_argmax.hpp"
#include "kernels/cpu/loops/vectors.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// The windows at [py, px] to [py, px + kWindows - 1], kVectors vectors of output channels from k on.
template <int kLanes, int kIn, int kWindows, int kVectors>
HOST_DEVICE void windows(const FewChannelsLoop& loop, const float* image, const float* w, const float* b,
                         int py, int px, int k, float* y, std::uint8_t* argmax) {
  using Float = typename VectorOf<kLanes>::Float;
  using Byte = typename VectorOf<kLanes>::Byte;
  constexpr int kColumns = 2 * kWindows;
  Float sum[2][kColumns][kVectors];
  for (auto& row : sum) {
    for (auto& column : row) {
      for (int v = 0; v < kVectors; ++v) column[v] = load<Float>(b + k + v * kLanes);
    }
  }
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(loop.width) * kIn;
  const float* corner = image + 2 * py * stride + 2 * px * kIn;
  const float* filter = w + k;
  for (int ky = 0; ky < 3; ++ky, corner += stride) {
    for (int kx = 0; kx < 3; ++kx) {
      const float* top = corner + kx * kIn;
      const float* bottom = top + stride;
      for (int c = 0; c < kIn; ++c, filter += loop.channels) {
        Float taps[kVectors];
        for (int v = 0; v < kVectors; ++v) taps[v] = load<Float>(filter + v * kLanes);
        for (int s = 0; s < kColumns; ++s) {
          for (int v = 0; v < kVectors; ++v) {
            sum[0][s][v] += taps[v] * top[s * kIn + c];
            sum[1][s][v] += taps[v] * bottom[s * kIn + c];
          }
        }
      }
    }
  }
  for (int n = 0; n < kWindows; ++n) {
    for (int v = 0; v < kVectors; ++v) {
      const auto best = window_maximum<kLanes>(
          2, loop.relu, [&](int row, int column) { return sum[row][2 * n + column][v]; });
      const int to = (py * loop.pooled.w + px + n) * loop.pooled.c + k + v * kLanes;
      const int left = loop.pooled.c - k - v * kLanes;  // channels that are there
      store_some(y + to, best.value, left);
      if (argmax != nullptr) store_some(argmax + to, convert<Byte>(best.argmax), left);
    }
  }
}

template <int kLanes, int kIn, int kVectors>
HOST_DEVICE void block(const FewChannelsLoop& loop, const float* image, const float* w, const float* b, int k,
                       float* y, std::uint8_t* argmax) {
  for (int py = 0; py < loop.pooled.h; ++py) {
    int px = 0;
    for (; px + 2 <= loop.pooled.w; px += 2)
      windows<kLanes, kIn, 2, kVectors>(loop, image, w, b, py, px, k, y, argmax);
    if (px < loop.pooled.w) windows<kLanes, kIn, 1, kVectors>(loop, image, w, b, py, px, k, y, argmax);
  }
}

template <int kIn>
void forward(const FewChannelsLoop& loop, const float* image, const float* w, const float* b, float* y,
             std::uint8_t* argmax) {
  with_lanes(loop.lanes, [&]<int kLanes>() {
    for_vectors<kLanes, 2>(loop.channels, [&]<int kVectors>(int k) {
      block<kLanes, kIn, kVectors>(loop, image, w, b, k, y, argmax);
    });
  });
}

}  // namespace

void few_channels_pool(const FewChannelsLoop& loop, const float* image, const float* w, const float* b,
                       float* y, std::uint8_t* argmax) {
  if (loop.in == 8) {
    forward<8>(loop, image, w, b, y, argmax);
  } else {
    forward<16>(loop, image, w, b, y, argmax);
  }
}

}  // namespace trainer::cpu::TRAINER_LOOPS
