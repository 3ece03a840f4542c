// Convolution of a one-channel image, for which a general library is slow: each sum has only k * k terms, so
// loads limit the speed unless the outputs stay in registers. Vectors run over output channels. The sums of a
// tile of kRows x kColumns map positions and kVectors channel vectors stay in registers while the loop goes over
// the filter's taps, and each pixel is loaded once and broadcast. The gradient of the weights keeps kTaps x
// kVectors sums in registers along a row of the map. conv_pool.cpp has the loops with a pool.
#include "kernels/cpu/loops/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// The arrays of one image; the pointers are at the first channel of the current block.
struct Operands {
  const float* padded;
  const float* w;
  const float* b;
  float* map;
};

template <int kLanes, int kVectors, int kRows, int kColumns>
HOST_DEVICE void tile(const ConvLoop& loop, const Operands& at, int y, int x) {
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
        if (loop.relu) value = value < 0 ? Vector{} : value;  // a NaN stays a NaN
        float* out =
            at.map + (static_cast<std::ptrdiff_t>(y + r) * loop.w + x + c) * loop.channels + v * kLanes;
        store(out, value);
      }
    }
  }
}

// Covers the map with tiles; the last ones of a row or column overlap those before them.
template <int kLanes, int kVectors, int kRows, int kColumns>
void tiles(const ConvLoop& loop, const Operands& at) {
  for (int y = 0; y < loop.h; y += kRows) {
    const int row = y + kRows <= loop.h ? y : loop.h - kRows;
    for (int x = 0; x < loop.w; x += kColumns) {
      const int column = x + kColumns <= loop.w ? x : loop.w - kColumns;
      tile<kLanes, kVectors, kRows, kColumns>(loop, at, row, column);
    }
  }
}

template <int kLanes, int kVectors>
void forward_block(const ConvLoop& loop, const Operands& at) {
  if (loop.h >= 2 && loop.w >= 4) {
    tiles<kLanes, kVectors, 2, TRAINER_LOOPS_LANES == 16 ? 4 : 2>(loop, at);
  } else {
    tiles<kLanes, kVectors, 1, 1>(loop, at);
  }
}

// Adds to dw of kTaps taps of a filter row the terms of one row of the map.
template <int kLanes, int kVectors, int kTaps>
HOST_DEVICE void weights_row(const ConvLoop& loop, const float* pixels, const float* dmap, float* dw) {
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
void weights_block(const ConvLoop& loop, const float* padded, const float* dmap, float* dw, float* db) {
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

}  // namespace

void one_channel(const ConvLoop& loop, const float* padded, const float* w, const float* b, float* map) {
  with_lanes(loop.lanes, [&]<int kLanes>() {
    for_vectors<kLanes, 3>(loop.channels, [&]<int kVectors>(int c) {
      forward_block<kLanes, kVectors>(loop, {padded, w + c, b + c, map + c});
    });
  });
}

void one_channel_weights(const ConvLoop& loop, const float* padded, const float* dmap, float* dw, float* db) {
  with_lanes(loop.lanes, [&]<int kLanes>() {
    for_vectors<kLanes, 3>(loop.channels, [&]<int kVectors>(int c) {
      weights_block<kLanes, kVectors>(loop, padded, dmap + c, dw + c, db + c);
    });
  });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
