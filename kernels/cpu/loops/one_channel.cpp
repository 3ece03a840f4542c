// Convolution of a one-channel image, which a general library does badly: the sum has only k * k terms, so
// the work is bound by loads unless the outputs stay in registers. The vectors run over output channels.
// Without a pool, the sums of a tile of kRows x kColumns map positions times kVectors channel vectors stay in
// registers while the filter is walked, and each pixel is loaded once and broadcast; the gradient of the
// weights keeps kTaps x kVectors sums in registers along a row of the map. With max pooling in windows that
// lie side by side, the outputs of a window stay in registers, a vector for each position, and only the
// largest are written. Backward needs the gradients of those alone, and keeps the sums of all taps in
// registers.
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/pool_argmax.hpp"
#include "kernels/cpu/loops/vectors.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// One image's arrays, the first channel of the block in hand.
struct Operands {
  const float* padded;
  const float* w;
  const float* b;
  float* map;
};

template <int kLanes, int kVectors, int kRows, int kColumns>
HOST_DEVICE void tile(const OneChannelLoop& loop, const Operands& at, int y, int x) {
  using Vector = typename VectorOf<kLanes>::Float;
  const int width = loop.w + loop.kernel - 1;
  Vector sum[kRows][kColumns][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) {
      for (int v = 0; v < kVectors; ++v) sum[r][c][v] = load<Vector>(at.b + v * kLanes);
    }
  }
  for (int ky = 0; ky < loop.kernel; ++ky) {
    for (int kx = 0; kx < loop.kernel; ++kx) {
      const float* w = at.w + static_cast<std::ptrdiff_t>(ky * loop.kernel + kx) * loop.channels;
      const float* pixels = at.padded + static_cast<std::ptrdiff_t>(y + ky) * width + x + kx;
      Vector filter[kVectors];
      for (int v = 0; v < kVectors; ++v) filter[v] = load<Vector>(w + v * kLanes);
      for (int r = 0; r < kRows; ++r) {
        for (int c = 0; c < kColumns; ++c) {
          for (int v = 0; v < kVectors; ++v) sum[r][c][v] += filter[v] * pixels[r * width + c];
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) {
      for (int v = 0; v < kVectors; ++v) {
        Vector value = sum[r][c][v];
        if (loop.relu) value = value < 0 ? Vector{} : value;  // a NaN stays one
        float* out =
            at.map + (static_cast<std::ptrdiff_t>(y + r) * loop.w + x + c) * loop.channels + v * kLanes;
        store(out, value);
      }
    }
  }
}

// Covers the map with tiles; the last ones of a row or column reach back over what is already done.
template <int kLanes, int kVectors, int kRows, int kColumns>
void tiles(const OneChannelLoop& loop, const Operands& at) {
  for (int y = 0; y < loop.h; y += kRows) {
    const int row = y + kRows <= loop.h ? y : loop.h - kRows;
    for (int x = 0; x < loop.w; x += kColumns) {
      const int column = x + kColumns <= loop.w ? x : loop.w - kColumns;
      tile<kLanes, kVectors, kRows, kColumns>(loop, at, row, column);
    }
  }
}

template <int kLanes, int kVectors>
void forward_block(const OneChannelLoop& loop, const Operands& at) {
  if (loop.h >= 2 && loop.w >= 4) {
    tiles<kLanes, kVectors, 2, TRAINER_LOOPS_LANES == 16 ? 4 : 2>(loop, at);
  } else {
    tiles<kLanes, kVectors, 1, 1>(loop, at);
  }
}

// dw of taps kx .. kx + kTaps - 1 of filter row ky, over one row of the map.
template <int kLanes, int kVectors, int kTaps>
HOST_DEVICE void weights_row(const OneChannelLoop& loop, const float* pixels, const float* dmap, float* dw) {
  using Vector = typename VectorOf<kLanes>::Float;
  Vector sum[kTaps][kVectors];
  for (int t = 0; t < kTaps; ++t) {
    for (int v = 0; v < kVectors; ++v) sum[t][v] = load<Vector>(dw + t * loop.channels + v * kLanes);
  }
  for (int x = 0; x < loop.w; ++x, dmap += loop.channels) {
    for (int v = 0; v < kVectors; ++v) {
      const Vector gradient = load<Vector>(dmap + v * kLanes);
      for (int t = 0; t < kTaps; ++t) sum[t][v] += gradient * pixels[x + t];
    }
  }
  for (int t = 0; t < kTaps; ++t) {
    for (int v = 0; v < kVectors; ++v) store(dw + t * loop.channels + v * kLanes, sum[t][v]);
  }
}

template <int kLanes, int kVectors>
void weights_block(const OneChannelLoop& loop, const float* padded, const float* dmap, float* dw, float* db) {
  using Vector = typename VectorOf<kLanes>::Float;
  const int width = loop.w + loop.kernel - 1;
  for (int y = 0; y < loop.h; ++y) {
    const float* row = dmap + static_cast<std::ptrdiff_t>(y) * loop.w * loop.channels;
    for (int ky = 0; ky < loop.kernel; ++ky) {
      const float* pixels = padded + static_cast<std::ptrdiff_t>(y + ky) * width;
      float* taps = dw + static_cast<std::ptrdiff_t>(ky) * loop.kernel * loop.channels;
      for_taps(loop.kernel, [&]<int kTaps>(int kx) {
        weights_row<kLanes, kVectors, kTaps>(loop, pixels + kx, row, taps + kx * loop.channels);
      });
    }
    for (int v = 0; v < kVectors; ++v) {
      Vector sum = load<Vector>(db + v * kLanes);
      for (int x = 0; x < loop.w; ++x) sum += load<Vector>(row + x * loop.channels + v * kLanes);
      store(db + v * kLanes, sum);
    }
  }
}

// The number of channels in the vector that begins at channel c.
template <int kLanes>
HOST_DEVICE int lanes_at(const OneChannelLoop& loop, int c) {
  return loop.pooled.c - c < kLanes ? loop.pooled.c - c : kLanes;
}

template <int kLanes, int kKernel, int kWindow>
void pooled_forward(const OneChannelLoop& loop, const float* padded, const float* weights, const float* b,
                    float* y, std::uint8_t* argmax) {
  using Float = typename VectorOf<kLanes>::Float;
  using Byte = typename VectorOf<kLanes>::Byte;
  const int width = loop.w + kKernel - 1;
  for (int c = 0; c < loop.channels; c += kLanes) {
    const int lanes = lanes_at<kLanes>(loop, c);
    const auto bias = load<Float>(b + c);
    for (int window = 0; window < loop.pooled.h * loop.pooled.w; ++window) {
      const int py = window / loop.pooled.w;
      const int px = window % loop.pooled.w;
      const float* corner = padded + (py * width + px) * kWindow;
      Float sum[kWindow][kWindow];
      for (auto& row : sum) {
        for (Float& value : row) value = bias;
      }
      for (int ky = 0; ky < kKernel; ++ky) {
        for (int kx = 0; kx < kKernel; ++kx) {
          const auto filter = load<Float>(weights + (ky * kKernel + kx) * loop.channels + c);
          for (int r = 0; r < kWindow; ++r) {
            for (int s = 0; s < kWindow; ++s) sum[r][s] += filter * corner[(r + ky) * width + s + kx];
          }
        }
      }
      const auto best =
          window_maximum<kLanes>(kWindow, loop.relu, [&](int row, int column) { return sum[row][column]; });
      const int at = window * loop.pooled.c + c;
      store_some(y + at, best.value, lanes);
      if (argmax != nullptr) store_some(argmax + at, convert<Byte>(best.argmax), lanes);
    }
  }
}

template <int kLanes, int kKernel, int kWindow>
void pooled_weights(const OneChannelLoop& loop, const float* padded, const float* dy,
                    const std::uint8_t* argmax, float* dw, float* db) {
  using Float = typename VectorOf<kLanes>::Float;
  using Int = typename VectorOf<kLanes>::Int;
  using Byte = typename VectorOf<kLanes>::Byte;
  const int width = loop.w + kKernel - 1;
  for (int c = 0; c < loop.channels; c += kLanes) {
    const int lanes = lanes_at<kLanes>(loop, c);
    Float sum[kKernel][kKernel];
    for (int t = 0; t < kKernel * kKernel; ++t)
      sum[t / kKernel][t % kKernel] = load<Float>(dw + t * loop.channels + c);
    auto bias = load<Float>(db + c);
    for (int window = 0; window < loop.pooled.h * loop.pooled.w; ++window) {
      const int py = window / loop.pooled.w;
      const int px = window % loop.pooled.w;
      const float* corner = padded + (py * width + px) * kWindow;
      const int at = window * loop.pooled.c + c;
      const auto index = convert<Int>(load_some<Byte>(argmax + at, lanes));
      const auto gradient = load_some<Float>(dy + at, lanes);
      for (int r = 0; r < kWindow; ++r) {
        for (int s = 0; s < kWindow; ++s) {
          const Float there = index == r * kWindow + s ? gradient : Float{};
          bias += there;
          for (int ky = 0; ky < kKernel; ++ky) {
            for (int kx = 0; kx < kKernel; ++kx) sum[ky][kx] += there * corner[(r + ky) * width + s + kx];
          }
        }
      }
    }
    for (int t = 0; t < kKernel * kKernel; ++t)
      store(dw + t * loop.channels + c, sum[t / kKernel][t % kKernel]);
    store(db + c, bias);
  }
}

// Calls body<lanes, kernel, window>() for the sizes of has_one_channel_pool().
template <typename Body>
HOST_DEVICE void with_sizes(const OneChannelLoop& loop, const Body& body) {
  with_lanes(loop.lanes, [&]<int kLanes>() {
    if (loop.kernel == 3 && loop.window.size == 2) return body.template operator()<kLanes, 3, 2>();
    if (loop.kernel == 3 && loop.window.size == 3) return body.template operator()<kLanes, 3, 3>();
    if (loop.kernel == 5 && loop.window.size == 2) return body.template operator()<kLanes, 5, 2>();
  });
}

}  // namespace

void one_channel(const OneChannelLoop& loop, const float* padded, const float* w, const float* b,
                 float* map) {
  with_lanes(loop.lanes, [&]<int kLanes>() {
    for_vectors<kLanes, 3>(loop.channels, [&]<int kVectors>(int c) {
      forward_block<kLanes, kVectors>(loop, {padded, w + c, b + c, map + c});
    });
  });
}

void one_channel_weights(const OneChannelLoop& loop, const float* padded, const float* dmap, float* dw,
                         float* db) {
  with_lanes(loop.lanes, [&]<int kLanes>() {
    for_vectors<kLanes, 3>(loop.channels, [&]<int kVectors>(int c) {
      weights_block<kLanes, kVectors>(loop, padded, dmap + c, dw + c, db + c);
    });
  });
}

void one_channel_pool(const OneChannelLoop& loop, const float* padded, const float* w, const float* b,
                      float* y, std::uint8_t* argmax) {
  with_sizes(loop, [&]<int kLanes, int kKernel, int kWindow>() {
    pooled_forward<kLanes, kKernel, kWindow>(loop, padded, w, b, y, argmax);
  });
}

void one_channel_pool_weights(const OneChannelLoop& loop, const float* padded, const float* dy,
                              const std::uint8_t* argmax, float* dw, float* db) {
  with_sizes(loop, [&]<int kLanes, int kKernel, int kWindow>() {
    pooled_weights<kLanes, kKernel, kWindow>(loop, padded, dy, argmax, dw, db);
  });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
