// Convolution of an image with one or a few channels, fused with max pooling in windows that do not overlap: the
// outputs of a window stay in registers, and only the largest are written. The filters are [k, k, in, out], so
// that vectors run over output channels and each input is loaded once and broadcast. With several input
// channels, the outputs of two windows and two vectors of output channels are accumulated at a time. Backward
// for one input channel, which needs no dx, is here too: it reads only the gradients of the largest outputs, and
// keeps the sums of all taps in registers.
#include "kernels/cpu/loops/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// Computes the windows at [py, px] to [py, px + kWindows - 1] for kVectors vectors of output channels from c on.
template <int kLanes, int kIn, int kKernel, int kWindow, int kWindows, int kVectors>
HOST_DEVICE void windows(const ConvLoop& loop, const float* image, const float* w, const float* b, int py,
                         int px, int c, float* y, std::uint8_t* argmax) {
  using Float = typename VectorOf<kLanes>::Float;
  using Byte = typename VectorOf<kLanes>::Byte;
  constexpr int kColumns = kWindow * kWindows;
  Float sum[kWindow][kColumns][kVectors];
  for (auto& row : sum) {
    for (auto& column : row) {
      for (int v = 0; v < kVectors; ++v) column[v] = load<Float>(b + c + v * kLanes);
    }
  }
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(loop.w + kKernel - 1) * kIn;
  const float* corner = image + kWindow * (py * stride + px * kIn);
  const float* filter = w + c;
  for (int ky = 0; ky < kKernel; ++ky, corner += stride) {
    for (int kx = 0; kx < kKernel; ++kx) {
      for (int i = 0; i < kIn; ++i, filter += loop.channels) {
        const float* pixels = corner + kx * kIn + i;
        Float taps[kVectors];
        for (int v = 0; v < kVectors; ++v) taps[v] = load<Float>(filter + v * kLanes);
        for (int r = 0; r < kWindow; ++r) {
          for (int s = 0; s < kColumns; ++s) {
            for (int v = 0; v < kVectors; ++v) sum[r][s][v] += taps[v] * pixels[r * stride + s * kIn];
          }
        }
      }
    }
  }
  for (int n = 0; n < kWindows; ++n) {
    for (int v = 0; v < kVectors; ++v) {
      const auto best = window_maximum<kLanes>(
          kWindow, loop.relu, [&](int row, int column) { return sum[row][kWindow * n + column][v]; });
      const int to = (py * loop.pooled.w + px + n) * loop.pooled.c + c + v * kLanes;
      const int there = loop.pooled.c - c - v * kLanes;  // channels left, perhaps fewer than lanes
      store_some(y + to, best.value, there);
      if (argmax != nullptr) store_some(argmax + to, convert<Byte>(best.argmax), there);
    }
  }
}

template <int kLanes, int kIn, int kKernel, int kWindow>
void forward(const ConvLoop& loop, const float* image, const float* w, const float* b, float* y,
             std::uint8_t* argmax) {
  constexpr int kMost = kIn == 1 ? 1 : 2;  // windows and vectors at a time
  for_vectors<kLanes, kMost>(loop.channels, [&]<int kVectors>(int c) {
    for (int py = 0; py < loop.pooled.h; ++py) {
      int px = 0;
      for (; px + kMost <= loop.pooled.w; px += kMost)
        windows<kLanes, kIn, kKernel, kWindow, kMost, kVectors>(loop, image, w, b, py, px, c, y, argmax);
      for (; px < loop.pooled.w; ++px)
        windows<kLanes, kIn, kKernel, kWindow, 1, kVectors>(loop, image, w, b, py, px, c, y, argmax);
    }
  });
}

// Calls body(ky, kx) for each tap of a filter. GCC unrolls two nested loops, which keeps an array of sums in
// registers. AVX2 has too few registers for the sums of 5 x 5: a single loop, which GCC does not unroll and
// which leaves them in memory, is 5 % faster.
template <int kKernel, typename Body>
HOST_DEVICE void for_taps_of(const Body& body) {
  if constexpr (TRAINER_LOOPS_LANES == 8) {
    for (int t = 0; t < kKernel * kKernel; ++t) body(t / kKernel, t % kKernel);
  } else {
    for (int ky = 0; ky < kKernel; ++ky) {
      for (int kx = 0; kx < kKernel; ++kx) body(ky, kx);
    }
  }
}

template <int kLanes, int kKernel, int kWindow>
void weights(const ConvLoop& loop, const float* padded, const float* dy, const std::uint8_t* argmax,
             float* dw, float* db) {
  using Float = typename VectorOf<kLanes>::Float;
  using Int = typename VectorOf<kLanes>::Int;
  using Byte = typename VectorOf<kLanes>::Byte;
  const int width = loop.w + kKernel - 1;
  for (int c = 0; c < loop.channels; c += kLanes) {
    const int there = loop.pooled.c - c < kLanes ? loop.pooled.c - c : kLanes;
    Float sum[kKernel][kKernel];
    for_taps_of<kKernel>(
        [&](int ky, int kx) { sum[ky][kx] = load<Float>(dw + (ky * kKernel + kx) * loop.channels + c); });
    auto bias = load<Float>(db + c);
    for (int window = 0; window < loop.pooled.h * loop.pooled.w; ++window) {
      const int py = window / loop.pooled.w;
      const int px = window % loop.pooled.w;
      const float* corner = padded + (py * width + px) * kWindow;
      const int at = window * loop.pooled.c + c;
      const auto index = convert<Int>(load_some<Byte>(argmax + at, there));
      const auto gradient = load_some<Float>(dy + at, there);
      for (int r = 0; r < kWindow; ++r) {
        for (int s = 0; s < kWindow; ++s) {
          const Float value = index == r * kWindow + s ? gradient : Float{};
          bias += value;
          for (int ky = 0; ky < kKernel; ++ky) {
            for (int kx = 0; kx < kKernel; ++kx) sum[ky][kx] += value * corner[(r + ky) * width + s + kx];
          }
        }
      }
    }
    for_taps_of<kKernel>(
        [&](int ky, int kx) { store(dw + (ky * kKernel + kx) * loop.channels + c, sum[ky][kx]); });
    store(db + c, bias);
  }
}

// Calls body<lanes, kernel, window>() for the sizes that has_conv_pool() accepts for one channel.
template <typename Body>
HOST_DEVICE void with_sizes(const ConvLoop& loop, const Body& body) {
  with_lanes(loop.lanes, [&]<int kLanes>() {
    if (loop.kernel == 3 && loop.window.size == 2) return body.template operator()<kLanes, 3, 2>();
    if (loop.kernel == 3 && loop.window.size == 3) return body.template operator()<kLanes, 3, 3>();
    if (loop.kernel == 5 && loop.window.size == 2) return body.template operator()<kLanes, 5, 2>();
  });
}

}  // namespace

void conv_pool(const ConvLoop& loop, const float* padded, const float* w, const float* b, float* y,
               std::uint8_t* argmax) {
  if (loop.in == 1) {
    return with_sizes(loop, [&]<int kLanes, int kKernel, int kWindow>() {
      forward<kLanes, 1, kKernel, kWindow>(loop, padded, w, b, y, argmax);
    });
  }
  with_lanes(loop.lanes, [&]<int kLanes>() {
    loop.in == 8 ? forward<kLanes, 8, 3, 2>(loop, padded, w, b, y, argmax)
                 : forward<kLanes, 16, 3, 2>(loop, padded, w, b, y, argmax);
  });
}

void one_channel_pool_weights(const ConvLoop& loop, const float* padded, const float* dy,
                              const std::uint8_t* argmax, float* dw, float* db) {
  with_sizes(loop, [&]<int kLanes, int kKernel, int kWindow>() {
    weights<kLanes, kKernel, kWindow>(loop, padded, dy, argmax, dw, db);
  });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
