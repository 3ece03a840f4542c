// The loops of conv_pool.cpp for one channel and windows of 2 x 2, for processors that multiply bf16
// (VDPBF16PS, two products per lane). Each pixel is stored next to the one below it, so that two rows of a filter
// are multiplied at a time.
//
// Backward multiplies the gradients of two windows at a time, each with the pixel at its argmax: for a given
// tap these are among four pixels in two rows, and each channel picks its own two by a shuffle.
#include "kernels/cpu/loops/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

constexpr int kLanes = 16;
constexpr int kWindow = 2;
constexpr int kPair = 2;  // values per pair

// Broadcasts the pair at this address to every lane.
HOST_DEVICE __m512bh spread(const std::uint16_t* pair) {
  std::int32_t both = 0;
  __builtin_memcpy(&both, pair, sizeof(both));
  return (__m512bh)_mm512_set1_epi32(both);
}

template <int kKernel, int kVectors>
HOST_DEVICE void forward(const ConvLoop& loop, const std::uint16_t* image, const std::uint16_t* weights,
                         const float* b, float* y, std::uint8_t* argmax, int c) {
  const int width = loop.w + kKernel - 1;
  __m512 bias[kVectors];
  for (int v = 0; v < kVectors; ++v) bias[v] = _mm512_loadu_ps(b + c + v * kLanes);
  for (int window = 0; window < loop.pooled.h * loop.pooled.w; ++window) {
    const int py = window / loop.pooled.w;
    const int px = window % loop.pooled.w;
    const std::uint16_t* corner = image + (py * width + px) * kWindow * kPair;
    __m512 sum[kVectors][kWindow * kWindow];
    for (int v = 0; v < kVectors; ++v) {
      for (__m512& value : sum[v]) value = bias[v];
    }
    for (int ky = 0; ky < kKernel; ky += kPair) {
      for (int kx = 0; kx < kKernel; ++kx) {
        __m512bh filter[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          const int at = (ky * kKernel + kx) * loop.channels + c + v * kLanes;
          filter[v] = (__m512bh)_mm512_loadu_si512(weights + at * kPair);
        }
        for (int p = 0; p < kWindow * kWindow; ++p) {
          const int pixel = (p / kWindow + ky) * width + p % kWindow + kx;
          const __m512bh pixels = spread(corner + pixel * kPair);
          for (int v = 0; v < kVectors; ++v) sum[v][p] = _mm512_dpbf16_ps(sum[v][p], filter[v], pixels);
        }
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const __mmask16 channels = first_lanes(loop.pooled.c - c - v * kLanes);
      const int at = window * loop.pooled.c + c + v * kLanes;
      using Float = VectorOf<kLanes>::Float;
      const auto best = window_maximum<kLanes>(
          kWindow, loop.relu, [&](int row, int column) { return (Float)sum[v][row * kWindow + column]; });
      _mm512_mask_storeu_ps(y + at, channels, (__m512)best.value);
      if (argmax == nullptr) continue;
      _mm_mask_storeu_epi8(argmax + at, channels, _mm512_cvtepi32_epi8((__m512i)best.argmax));
    }
  }
}

// The gradients of one window's channels, zero where the ReLU made them so, and their argmax.
struct Window {
  __m512 gradient;
  __m512i argmax;
};
HOST_DEVICE Window window_at(const float* dy, const std::uint8_t* argmax, __mmask16 channels) {
  Window window{};
  window.argmax = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(channels, argmax));
  const __mmask16 passes =
      _mm512_mask_cmplt_epu32_mask(channels, window.argmax, _mm512_set1_epi32(kWindow * kWindow));
  window.gradient = _mm512_maskz_loadu_ps(passes, dy);
  return window;
}

// Two vectors rounded and interleaved.
HOST_DEVICE __m512i in_turn(__m512 first, __m512 second) {
  const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(first));
  const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(second));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// The byte offsets of each lane's two pixels among four pixels in two rows; those of the right window begin two
// pixels further. If the ReLU made the gradient zero, the offset is one for which the shuffle gives 0.
HOST_DEVICE __m512i places_of(const Window& left, const Window& right) {
  constexpr int kNone = 0x8080;
  const __m512i first = _mm512_setr_epi32(0x0100, 0x0504, 0x0302, 0x0706, kNone, kNone, kNone, kNone, kNone,
                                          kNone, kNone, kNone, kNone, kNone, kNone, kNone);
  const __m512i second = _mm512_slli_epi32(_mm512_add_epi32(first, _mm512_set1_epi32(0x0808)), 16);
  return _mm512_or_si512(_mm512_permutexvar_epi32(left.argmax, first),
                         _mm512_permutexvar_epi32(right.argmax, second));
}

template <int kKernel>
HOST_DEVICE void backward(const ConvLoop& loop, const std::uint16_t* image, const float* dy,
                          const std::uint8_t* argmax, float* dw, float* db, int c) {
  const int width = loop.w + kKernel - 1;
  const __mmask16 channels = first_lanes(loop.pooled.c - c);
  __m512 sum[kKernel][kKernel];
  for (int ky = 0; ky < kKernel; ++ky) {  // must be unrolled to keep the sums in registers
    for (int kx = 0; kx < kKernel; ++kx)
      sum[ky][kx] = _mm512_loadu_ps(dw + (ky * kKernel + kx) * loop.channels + c);
  }
  __m512 bias = _mm512_loadu_ps(db + c);
  const std::size_t image_values = loop.pooled.size();
  for (int py = 0; py < loop.pooled.h; ++py) {
    for (int px = 0; px < loop.pooled.w; px += 2) {
      const std::uint16_t* corner = image + (py * width + px) * kWindow * kPair;
      const int at = (py * loop.pooled.w + px) * loop.pooled.c + c;
      const Window left = window_at(dy + at, argmax + at, channels);
      const int next = at + loop.pooled.c;
      for (const int of : {at, next}) {  // for the next image: these loads took longer than the products
        __builtin_prefetch(dy + of + image_values);
        __builtin_prefetch(argmax + of + image_values);
      }
      const __mmask16 there = px + 1 < loop.pooled.w ? channels : __mmask16{0};
      const Window right = window_at(dy + next, argmax + next, there);
      bias = _mm512_add_ps(_mm512_add_ps(bias, left.gradient), right.gradient);
      const auto gradients = (__m512bh)in_turn(left.gradient, right.gradient);
      const __m512i places = places_of(left, right);
      for (int ky = 0; ky < kKernel; ++ky) {
        for (int kx = 0; kx < kKernel; ++kx) {
          const auto* tap = reinterpret_cast<const __m128i*>(corner + (ky * width + kx) * kPair);
          const __m512i four = _mm512_broadcast_i32x4(_mm_loadu_si128(tap));
          const auto pixels = (__m512bh)_mm512_shuffle_epi8(four, places);
          sum[ky][kx] = _mm512_dpbf16_ps(sum[ky][kx], pixels, gradients);
        }
      }
    }
  }
  for (int ky = 0; ky < kKernel; ++ky) {
    for (int kx = 0; kx < kKernel; ++kx)
      _mm512_storeu_ps(dw + (ky * kKernel + kx) * loop.channels + c, sum[ky][kx]);
  }
  _mm512_storeu_ps(db + c, bias);
}

}  // namespace

void one_channel_pairs(const float* rows, int count, int width, std::uint16_t* pairs) {
  const int last = (count - 1) * width;
  for (int i = 0; i < count * width; i += kLanes) {
    const __mmask16 all = first_lanes(count * width - i);
    const __m512 upper = _mm512_maskz_loadu_ps(all, rows + i);
    const __m512 lower = _mm512_maskz_loadu_ps(first_lanes(last - i), rows + i + width);
    _mm512_mask_storeu_epi32(pairs + i * kPair, all, in_turn(upper, lower));
  }
}

void conv_pool(const ConvLoop& loop, const std::uint16_t* image, const std::uint16_t* w, const float* b,
               float* y, std::uint8_t* argmax) {
  for_vectors<kLanes, 2>(loop.channels, [&]<int kVectors>(int c) {
    loop.kernel == 3 ? forward<3, kVectors>(loop, image, w, b, y, argmax, c)
                     : forward<5, kVectors>(loop, image, w, b, y, argmax, c);
  });
}

void one_channel_pool_weights(const ConvLoop& loop, const std::uint16_t* image, const float* dy,
                              const std::uint8_t* argmax, float* dw, float* db) {
  for (int c = 0; c < loop.channels; c += kLanes) {
    loop.kernel == 3 ? backward<3>(loop, image, dy, argmax, dw, db, c)
                     : backward<5>(loop, image, dy, argmax, dw, db, c);
  }
}

}  // namespace trainer::cpu::TRAINER_LOOPS
