// The lists of a pool's argmax positions that the loops of winners.cpp and winners_bf16.cpp walk, and the order in
// which both take the filter's taps. An argmax is live where ReLU lets it through and its gradient is not
// zero: behind a dropout many have none.
#pragma once

#if defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>
#endif

#include "kernels/cpu/runtime/loops.hpp"
#include "kernels/math/host_device.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

// Where in the padded image the filter lies that made the argmax of window (py, px); in floats.
HOST_DEVICE std::int32_t filter_corner(const WinnerLoop& loop, int py, int px, int winner) {
  const int row = (py * loop.window.stride + winner / loop.window.size) * loop.stride;
  const int column = (px * loop.window.stride + winner % loop.window.size) * loop.stride;
  return (row * loop.width + column) * loop.channels;
}

// Whether each of up to 64 channels has a live argmax in a window: a bit a channel.
HOST_DEVICE std::uint64_t live_channels(const float* dy, const std::uint8_t* winner, int channels) {
  std::uint64_t live = 0;
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  for (int k = 0; k < channels; k += 16) {
    const auto there = static_cast<__mmask16>(channels - k >= 16 ? 0xFFFFU : (1U << (channels - k)) - 1);
    const __m128i winners = _mm_maskz_loadu_epi8(there, winner + k);
    const __m512 gradients = _mm512_maskz_loadu_ps(there, dy + k);
    const __mmask16 won =
        _mm_mask_cmpneq_epi8_mask(there, winners, _mm_set1_epi8(static_cast<char>(kNoWinner)));
    live |= std::uint64_t{_mm512_mask_cmp_ps_mask(won, gradients, _mm512_setzero_ps(), _CMP_NEQ_UQ)} << k;
  }
#else
  for (int k = 0; k < channels; ++k) {
    const bool won = (winner[k] != kNoWinner) & (dy[k] != 0);
    live |= std::uint64_t{won} << k;
  }
#endif
  return live;
}

// The live argmax positions of one image by output channel: entries of channel k begin at k * windows. Adds their
// gradients to db.
HOST_DEVICE void list_by_channel(const WinnerLoop& loop, const float* dy, const std::uint8_t* winner,
                                 WinnerLists& lists, float* db) {
  const int windows = loop.pooled.h * loop.pooled.w;
  for (int k = 0; k < loop.pooled.c; ++k) lists.count[k] = 0;
  std::int32_t corners[256] = {};  // of the argmax positions of a window
  const int positions = loop.window.size * loop.window.size;
  for (int py = 0; py < loop.pooled.h; ++py) {
    for (int px = 0; px < loop.pooled.w; ++px, dy += loop.pooled.c, winner += loop.pooled.c) {
      for (int p = 0; p < positions; ++p) corners[p] = filter_corner(loop, py, px, p);
      for (int first = 0; first < loop.pooled.c; first += 64) {
        const int channels = loop.pooled.c - first < 64 ? loop.pooled.c - first : 64;
        for (std::uint64_t live = live_channels(dy + first, winner + first, channels); live != 0;
             live &= live - 1) {
          const int k = first + __builtin_ctzll(live);
          lists.entries[k * windows + lists.count[k]++] = {corners[winner[k]], dy[k]};
          db[k] += dy[k];
        }
      }
    }
  }
}

#if defined(__AVX512BW__) && defined(__AVX512VL__)
// Appends the entries of one window whose argmax is at `position`, by compressing vectors of them: eight
// entries to a vector, of the channels 0 1 4 5 8 9 12 13 and the others of 16.
HOST_DEVICE WinnerEntry* append(const WinnerLoop& loop, const float* dy, const std::uint8_t* winner,
                                int position, WinnerEntry* next) {
  const int filter = loop.kernel * loop.kernel * loop.channels;
  const __m512i step = _mm512_set1_epi32(16 * filter);
  __m512i at = _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                  _mm512_set1_epi32(filter));
  for (int k = 0; k < loop.pooled.c; k += 16, at = _mm512_add_epi32(at, step)) {
    const int left = loop.pooled.c - k;
    const auto there = static_cast<__mmask16>(left >= 16 ? 0xFFFFU : (1U << static_cast<unsigned>(left)) - 1);
    const __m128i winners = _mm_maskz_loadu_epi8(there, winner + k);
    const __m512 gradient = _mm512_maskz_loadu_ps(there, dy + k);
    const __mmask16 live = _mm512_mask_cmp_ps_mask(there, gradient, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const unsigned won = _mm_mask_cmpeq_epi8_mask(live, winners, _mm_set1_epi8(static_cast<char>(position)));
    const auto gradients = (__m512i)gradient;
    const auto store = [&](__m512i entries, unsigned mask) {
      _mm512_storeu_si512(next, _mm512_maskz_compress_epi64(static_cast<__mmask8>(mask), entries));
      next += __builtin_popcount(mask);
    };
    store(_mm512_unpacklo_epi32(at, gradients), _pext_u32(won, 0x3333U));
    store(_mm512_unpackhi_epi32(at, gradients), _pext_u32(won, 0xCCCCU));
  }
  return next;
}
#else
HOST_DEVICE WinnerEntry* append(const WinnerLoop& loop, const float* dy, const std::uint8_t* winner,
                                int position, WinnerEntry* next) {
  const int filter = loop.kernel * loop.kernel * loop.channels;
  for (int k = 0; k < loop.pooled.c; ++k) {
    *next = {k * filter, dy[k]};
    const bool live = (winner[k] == position) & (dy[k] != 0);
    next += live ? 1 : 0;  // no branch: it would be a guess
  }
  return next;
}
#endif

// The live argmax positions of one image by their place in it: of every window, one group for each position that won.
HOST_DEVICE void list_by_place(const WinnerLoop& loop, const float* dy, const std::uint8_t* winner,
                               WinnerLists& lists) {
  const int positions = loop.window.size * loop.window.size;
  WinnerEntry* next = lists.entries;
  lists.groups = 0;
  for (int py = 0; py < loop.pooled.h; ++py) {
    for (int px = 0; px < loop.pooled.w; ++px, dy += loop.pooled.c, winner += loop.pooled.c) {
      for (int position = 0; position < positions; ++position) {
        const WinnerEntry* begin = next;
        next = append(loop, dy, winner, position, next);
        if (next == begin) continue;
        lists.count[lists.groups] = static_cast<std::int32_t>(next - begin);
        lists.place[lists.groups++] = filter_corner(loop, py, px, position);
      }
    }
  }
}

// Calls body<vectors, taps>(ky, kx, c) so that every tap and channel is covered once, filter rows outermost.
template <int kLanes, typename Body>
HOST_DEVICE void cover(const WinnerLoop& loop, const Body& body) {
  const auto taps = [&]<int kVectors>(int ky, int c) {
    int kx = 0;
    for (; kx + 5 <= loop.kernel; kx += 5) body.template operator()<kVectors, 5>(ky, kx, c);
    for (; kx + 3 <= loop.kernel; kx += 3) body.template operator()<kVectors, 3>(ky, kx, c);
    for (; kx < loop.kernel; ++kx) body.template operator()<kVectors, 1>(ky, kx, c);
  };
  for (int ky = 0; ky < loop.kernel; ++ky) {
    int c = 0;
    for (; c + 3 * kLanes <= loop.channels; c += 3 * kLanes) taps.template operator()<3>(ky, c);
    for (; c + 2 * kLanes <= loop.channels; c += 2 * kLanes) taps.template operator()<2>(ky, c);
    for (; c < loop.channels; c += kLanes) taps.template operator()<1>(ky, c);
  }
}

}  // namespace trainer::cpu::TRAINER_LOOPS
