// sparse_conv_backward.cpp for processors that multiply bf16: one instruction (VDPBF16PS) adds two products per
// lane, so two gradients of a list are processed at a time, with the channels of their values interleaved. Sums
// are fp32. This file is compiled only for those processors.
//
// The cheapest way to interleave two vectors works on their quarters, eight channels each: for every 32
// channels, it gives the sums of the first four channels of each quarter, then those of the other four. The
// gradients of the weights are reordered at the end; the filters are cast into an order for which the image's
// gradient comes out in its own.
#include "kernels/cpu/loops/sparse_conv_backward.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

constexpr int kLanes = 16;         // sums per vector
constexpr int kCast = 2 * kLanes;  // bf16 channels per vector

// The gradients of two entries, rounded to bf16 and broadcast to every lane.
HOST_DEVICE __m512bh gradients_of(const GradientEntry* pair) {
  const __m128 entries = _mm_loadu_ps(reinterpret_cast<const float*>(pair));  // place, gradient, twice
  const __m128i rounded = (__m128i)_mm_cvtneps_pbh(entries);
  return (__m512bh)_mm512_set1_epi32(_mm_cvtsi128_si32(_mm_shufflelo_epi16(rounded, 1 | 3 << 2)));
}

struct Bf16Sums {
  static constexpr int kChannels = kCast;

  // Like Fp32Sums::add() in sparse_conv_backward.cpp.
  template <int kVectors, int kTaps, int kRows>
  HOST_DEVICE static void add(const GradientEntry* entries, int count, const std::uint16_t* values, int row,
                              int all_channels, float* sums, int sum_row) {
    const int channels = kRows > 1 ? kCast : all_channels;  // a constant if kRows > 1
    __m512 sum[kRows][kTaps][2 * kVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int t = 0; t < kTaps; ++t) {
        for (int v = 0; v < 2 * kVectors; ++v)
          sum[r][t][v] = _mm512_loadu_ps(sums + r * sum_row + t * channels + v * kLanes);
      }
    }
    const auto add_pair = [&](const GradientEntry* pair) __attribute__((always_inline)) {
      const __m512bh gradients = gradients_of(pair);
      for (int r = 0; r < kRows; ++r) {
        const std::uint16_t* first = values + r * row + pair[0].at;
        const std::uint16_t* second = values + r * row + pair[1].at;
        for (int t = 0; t < kTaps; ++t) {
          for (int v = 0; v < kVectors; ++v) {
            const __m512i a = _mm512_loadu_si512(first + t * channels + v * kCast);
            const __m512i b = _mm512_loadu_si512(second + t * channels + v * kCast);
            __m512* two = &sum[r][t][2 * v];
            two[0] = _mm512_dpbf16_ps(two[0], (__m512bh)_mm512_unpacklo_epi16(a, b), gradients);
            two[1] = _mm512_dpbf16_ps(two[1], (__m512bh)_mm512_unpackhi_epi16(a, b), gradients);
          }
        }
      }
    };
    for (int i = 0; i + 2 <= count; i += 2) add_pair(entries + i);
    if (count % 2 != 0) {
      const GradientEntry last[2] = {entries[count - 1], {entries[count - 1].at, 0}};
      add_pair(last);
    }
    for (int r = 0; r < kRows; ++r) {
      for (int t = 0; t < kTaps; ++t) {
        for (int v = 0; v < 2 * kVectors; ++v)
          _mm512_storeu_ps(sums + r * sum_row + t * channels + v * kLanes, sum[r][t][v]);
      }
    }
  }
};

// A mask of the next kCast values: the bits of the first `left` of them are set.
HOST_DEVICE std::uint32_t present(std::size_t left) {
  return left >= kCast ? ~0U : (1U << left) - 1;
}

template <bool kOrders>
HOST_DEVICE void cast_channels(const float* from, std::uint16_t* to, int channels, std::size_t pixels) {
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);  // groups of four channels
  for (; pixels > 0; --pixels, from += channels) {
    for (int c = 0; c < channels; c += kCast, to += kCast) {
      const std::uint32_t all = present(static_cast<std::size_t>(channels - c));
      const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(all), from + c);
      const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(all >> 16U), from + c + kLanes);
      const auto rounded = (__m512i)_mm512_cvtne2ps_pbh(high, low);
      _mm512_storeu_si512(to, kOrders ? _mm512_permutexvar_epi64(order, rounded) : rounded);
    }
  }
}

}  // namespace

void to_bf16(const float* from, std::uint16_t* to, std::size_t count) {
  for (; count >= kLanes; count -= kLanes, from += kLanes, to += kLanes) {
    const auto rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), rounded);
  }
  const auto rest = static_cast<__mmask16>((1U << count) - 1);
  const auto rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(rest, from));
  _mm256_mask_storeu_epi16(to, rest, rounded);
}

void to_fp32(const std::uint16_t* from, float* to, std::size_t count) {
  for (; count > 0; --count) *to++ = __builtin_bit_cast(float, std::uint32_t{*from++} << 16U);
}

void relu_backward(const std::uint16_t* y, const float* dx, std::uint16_t* to, std::size_t count) {
  const __m512i one = _mm512_set1_epi16(1);
  const __m512i infinity = _mm512_set1_epi16(0x7F80);
  for (std::size_t i = 0; i < count; i += kCast) {
    const std::uint32_t there = present(count - i);
    // A value is above 0 and not a NaN if its bits are from 1 to those of infinity.
    const __m512i bits = _mm512_sub_epi16(_mm512_maskz_loadu_epi16(there, y + i), one);
    const __mmask32 passes = _mm512_cmplt_epu16_mask(bits, infinity);
    const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there), dx + i);
    const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there >> 16U), dx + i + kLanes);
    const auto rounded = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    _mm512_mask_storeu_epi16(to + i, there, _mm512_maskz_mov_epi16(passes, rounded));
  }
}

void sparse_conv_image(const float* from, std::uint16_t* to, int channels, std::size_t pixels) {
  cast_channels<false>(from, to, channels, pixels);
}

void sparse_conv_filters(const float* from, std::uint16_t* to, int channels, std::size_t pixels) {
  cast_channels<true>(from, to, channels, pixels);
}

void sparse_conv_gradients(const float* from, float* to, int channels, std::size_t pixels) {
  const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);  // groups of two channels
  const __m512i high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  for (; pixels > 0; --pixels, to += channels) {
    for (int c = 0; c < channels; c += kCast, from += kCast) {
      const std::uint32_t all = present(static_cast<std::size_t>(channels - c));
      const __m512i a = _mm512_loadu_si512(from);
      const __m512i b = _mm512_loadu_si512(from + kLanes);
      _mm512_mask_storeu_epi32(to + c, static_cast<__mmask16>(all), _mm512_permutex2var_epi64(a, low, b));
      _mm512_mask_storeu_epi32(to + c + kLanes, static_cast<__mmask16>(all >> 16U),
                               _mm512_permutex2var_epi64(a, high, b));
    }
  }
}

void sparse_conv_weights(const SparseConvLoop& loop, GradientLists& lists, const std::uint16_t* image,
                         const float* dy, const std::uint8_t* argmax, float* dw, float* db) {
  list_by_channel(loop, dy, argmax, lists, db);
  sum_weights<Bf16Sums>(loop, lists, image, dw);
}

void sparse_conv_data(const SparseConvLoop& loop, GradientLists& lists, const std::uint16_t* w,
                      const float* dy, const std::uint8_t* argmax, float* dx) {
  list_by_place(loop, dy, argmax, lists);
  sum_data<Bf16Sums>(loop, lists, w, dx);
}

const Bf16Loops& bf16_table() {
  static constexpr Bf16Loops kTable{
      kCast,
#define BF16_LOOP(name, ...) name,
#include "kernels/cpu/runtime/loop_list.hpp"
  };
  return kTable;
}

}  // namespace trainer::cpu::TRAINER_LOOPS
