// Convolution of a one-channel image with max pooling in windows side by side, in one go: the outputs of a
// window stay in registers, as many vectors as it has positions, and only the largest are written. Backward
// needs the gradients of those alone; the sums of the weights' gradients stay in registers over a row of
// windows.
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/vectors.hpp"
#include "kernels/cpu/loops/window_winner.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// Lanes of the vector that begins at channel c which hold one.
template <int kLanes>
HOST_DEVICE int lanes_at(const OneChannelLoop& loop, int c) {
  return loop.pooled.c - c < kLanes ? loop.pooled.c - c : kLanes;
}

template <int kLanes, int kKernel, int kWindow>
void forward(const OneChannelLoop& loop, const float* padded, const float* weights, const float* b, float* y,
             std::uint8_t* winner) {
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
      const auto best = winner_of<kLanes>(kWindow * kWindow, loop.relu,
                                          [&](int p) { return sum[p / kWindow][p % kWindow]; });
      const int at = window * loop.pooled.c + c;
      store_some(y + at, best.value, lanes);
      if (winner != nullptr) store_some(winner + at, convert<Byte>(best.index), lanes);
    }
  }
}

template <int kLanes, int kKernel, int kWindow>
void backward(const OneChannelLoop& loop, const float* padded, const float* dy, const std::uint8_t* winner,
              float* dw, float* db) {
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
      const auto index = convert<Int>(load_some<Byte>(winner + at, lanes));
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

// Calls body<lanes, kernel, window>() for the sizes that are compiled.
template <typename Body>
HOST_DEVICE void with_sizes(const OneChannelLoop& loop, const Body& body) {
  with_lanes(loop.lanes, [&]<int kLanes>() {
    if (loop.kernel == 3 && loop.window.size == 2) return body.template operator()<kLanes, 3, 2>();
    if (loop.kernel == 3 && loop.window.size == 3) return body.template operator()<kLanes, 3, 3>();
    if (loop.kernel == 5 && loop.window.size == 2) return body.template operator()<kLanes, 5, 2>();
  });
}

}  // namespace

void one_channel_pool(const OneChannelLoop& loop, const float* padded, const float* w, const float* b,
                      float* y, std::uint8_t* winner) {
  with_sizes(loop, [&]<int kLanes, int kKernel, int kWindow>() {
    forward<kLanes, kKernel, kWindow>(loop, padded, w, b, y, winner);
  });
}

void one_channel_pool_weights(const OneChannelLoop& loop, const float* padded, const float* dy,
                              const std::uint8_t* winner, float* dw, float* db) {
  with_sizes(loop, [&]<int kLanes, int kKernel, int kWindow>() {
    backward<kLanes, kKernel, kWindow>(loop, padded, dy, winner, dw, db);
  });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
