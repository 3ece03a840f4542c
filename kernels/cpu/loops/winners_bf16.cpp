// winners.cpp for processors that multiply bf16: an instruction (VDPBF16PS) takes two products to a lane, so
// two winners are walked at a time, the channels of the one between those of the other. Sums are fp32. This
// file is compiled for those processors alone.
//
// The cheapest way to bring two vectors between each other works on quarters of them, four channels at a
// time. Cast channels are therefore stored in such an order that the sums come out in theirs: of every 32,
// the first four of either half, then the next four.
#include <immintrin.h>

#include "kernels/cpu/loops/winner_lists.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

constexpr int kLanes = 16;         // sums in a vector
constexpr int kCast = 2 * kLanes;  // cast channels in a vector

// The gradients of two entries, rounded to bf16, in every lane.
HOST_DEVICE __m512bh gradients_of(const WinnerEntry* pair) {
  const __m128 entries = _mm_loadu_ps(reinterpret_cast<const float*>(pair));  // place, gradient, twice
  const __m128i rounded = (__m128i)_mm_cvtneps_pbh(entries);
  return (__m512bh)_mm512_set1_epi32(_mm_cvtsi128_si32(_mm_shufflelo_epi16(rounded, 1 | 3 << 2)));
}

// sum[t, v] += gradient * values, over entries: `values` is the image, or the filters.
template <int kVectors, int kTaps>
HOST_DEVICE void add_row(const WinnerEntry* entries, int count, const std::uint16_t* values, int channels,
                         float* sums) {
  __m512 sum[kTaps][2 * kVectors];
  for (int t = 0; t < kTaps; ++t) {
    for (int v = 0; v < 2 * kVectors; ++v) sum[t][v] = _mm512_loadu_ps(sums + t * channels + v * kLanes);
  }
  const auto add = [&](const WinnerEntry* pair) {
    const __m512bh gradients = gradients_of(pair);
    const std::uint16_t* first = values + pair[0].at;
    const std::uint16_t* second = values + pair[1].at;
    for (int t = 0; t < kTaps; ++t) {
      for (int v = 0; v < kVectors; ++v) {
        const __m512i a = _mm512_loadu_si512(first + t * channels + v * kCast);
        const __m512i b = _mm512_loadu_si512(second + t * channels + v * kCast);
        __m512* two = &sum[t][2 * v];
        two[0] = _mm512_dpbf16_ps(two[0], (__m512bh)_mm512_unpacklo_epi16(a, b), gradients);
        two[1] = _mm512_dpbf16_ps(two[1], (__m512bh)_mm512_unpackhi_epi16(a, b), gradients);
      }
    }
  };
  for (int i = 0; i + 2 <= count; i += 2) add(entries + i);
  if (count % 2 != 0) {
    const WinnerEntry last[2] = {entries[count - 1], {entries[count - 1].at, 0}};
    add(last);
  }
  for (int t = 0; t < kTaps; ++t) {
    for (int v = 0; v < 2 * kVectors; ++v) _mm512_storeu_ps(sums + t * channels + v * kLanes, sum[t][v]);
  }
}

void to_bf16(const float* from, std::uint16_t* to, std::size_t count) {
  for (; count >= kLanes; count -= kLanes, from += kLanes, to += kLanes) {
    const auto rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), rounded);
  }
  const auto rest = static_cast<__mmask16>((1U << count) - 1);
  const auto rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(rest, from));
  _mm256_mask_storeu_epi16(to, rest, rounded);
}

void winner_channels(const float* from, std::uint16_t* to, int channels, std::size_t pixels) {
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);  // of four channels each
  for (; pixels > 0; --pixels, from += channels) {
    for (int c = 0; c < channels; c += kCast, to += kCast) {
      const int left = channels - c;
      const auto all = left >= kCast ? ~0U : (1U << static_cast<unsigned>(left)) - 1;
      const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(all), from + c);
      const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(all >> 16U), from + c + kLanes);
      const auto rounded = (__m512i)_mm512_cvtne2ps_pbh(high, low);
      _mm512_storeu_si512(to, _mm512_permutexvar_epi64(order, rounded));
    }
  }
}

void winner_weights(const WinnerLoop& loop, WinnerLists& lists, const std::uint16_t* image, const float* dy,
                    const std::uint8_t* winner, float* dw, float* db) {
  list_by_channel(loop, dy, winner, lists, db);
  const int windows = loop.pooled.h * loop.pooled.w;
  cover<kCast>(loop, [&]<int kVectors, int kTaps>(int ky, int kx, int c) {
    const std::uint16_t* pixels = image + (ky * loop.width + kx) * loop.channels + c;
    for (int k = 0; k < loop.pooled.c; ++k) {
      float* taps = dw + ((k * loop.kernel + ky) * loop.kernel + kx) * loop.channels + c;
      add_row<kVectors, kTaps>(lists.entries + k * windows, lists.count[k], pixels, loop.channels, taps);
    }
  });
}

void winner_data(const WinnerLoop& loop, WinnerLists& lists, const std::uint16_t* w, const float* dy,
                 const std::uint8_t* winner, float* dx) {
  list_by_place(loop, dy, winner, lists);
  cover<kCast>(loop, [&]<int kVectors, int kTaps>(int ky, int kx, int c) {
    const std::uint16_t* filter = w + (ky * loop.kernel + kx) * loop.channels + c;
    float* pixels = dx + (ky * loop.width + kx) * loop.channels + c;
    const WinnerEntry* entries = lists.entries;
    for (int g = 0; g < lists.groups; ++g) {
      add_row<kVectors, kTaps>(entries, lists.count[g], filter, loop.channels, pixels + lists.place[g]);
      entries += lists.count[g];
    }
  });
}

}  // namespace

const Bf16Loops& bf16_table() {
  static constexpr Bf16Loops kTable{
      .lanes = kCast,
      .to_bf16 = to_bf16,
      .winner_channels = winner_channels,
      .winner_weights = winner_weights,
      .winner_data = winner_data,
  };
  return kTable;
}

}  // namespace trainer::cpu::TRAINER_LOOPS
