// What the loops of sparse_conv_backward.cpp and sparse_conv_backward_bf16.cpp share: the lists of a pool's
// gradients that they traverse, and the order in which they take the taps of a filter. A gradient is live if the
// ReLU lets it through and it is not zero; if a dropout layer follows the pool, many are zero.
#pragma once

#include "kernels/cpu/loops/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

// The offset in the padded image, in floats, of the input patch for the output at `position` of window (py, px).
HOST_DEVICE std::int32_t filter_corner(const SparseConvLoop& loop, int py, int px, int position) {
  const int row = (py * loop.window.stride + position / loop.window.size) * loop.stride;
  const int column = (px * loop.window.stride + position % loop.window.size) * loop.stride;
  return (row * loop.width + column) * loop.channels;
}

// A bit for each of up to 64 channels: whether it has a live gradient in the window.
HOST_DEVICE std::uint64_t live_channels(const float* dy, const std::uint8_t* argmax, int channels) {
  std::uint64_t live = 0;
#ifdef TRAINER_LOOPS_MASKS
  for (int k = 0; k < channels; k += 16) {
    const __mmask16 there = first_lanes(channels - k);
    const __m128i indices = _mm_maskz_loadu_epi8(there, argmax + k);
    const __m512 gradients = _mm512_maskz_loadu_ps(there, dy + k);
    const __mmask16 won =
        _mm_mask_cmpneq_epi8_mask(there, indices, _mm_set1_epi8(static_cast<char>(kNoArgmax)));
    live |= std::uint64_t{_mm512_mask_cmp_ps_mask(won, gradients, _mm512_setzero_ps(), _CMP_NEQ_UQ)} << k;
  }
#else
  for (int k = 0; k < channels; ++k) {
    const bool won = (argmax[k] != kNoArgmax) & (dy[k] != 0);
    live |= std::uint64_t{won} << k;
  }
#endif
  return live;
}

// Lists the live gradients of one image by output channel, with those of channel k from entry k * windows on,
// and adds them to db.
HOST_DEVICE void list_by_channel(const SparseConvLoop& loop, const float* dy, const std::uint8_t* argmax,
                                 GradientLists& lists, float* db) {
  const int windows = loop.pooled.h * loop.pooled.w;
  for (int k = 0; k < loop.pooled.c; ++k) lists.count[k] = 0;
  std::int32_t corners[256] = {};  // filter_corner() of each position of the window
  const int positions = loop.window.size * loop.window.size;
  for (int py = 0; py < loop.pooled.h; ++py) {
    for (int px = 0; px < loop.pooled.w; ++px, dy += loop.pooled.c, argmax += loop.pooled.c) {
      for (int p = 0; p < positions; ++p) corners[p] = filter_corner(loop, py, px, p);
      for (int first = 0; first < loop.pooled.c; first += 64) {
        const int channels = loop.pooled.c - first < 64 ? loop.pooled.c - first : 64;
        for (std::uint64_t live = live_channels(dy + first, argmax + first, channels); live != 0;
             live &= live - 1) {
          const int k = first + __builtin_ctzll(live);
          lists.entries[k * windows + lists.count[k]++] = {corners[argmax[k]], dy[k]};
          db[k] += dy[k];
        }
      }
    }
  }
}

#ifdef TRAINER_LOOPS_MASKS
// Appends the live gradients of one window whose argmax is `position`, by compressing vectors of eight entries:
// for 16 channels, first the channels 0 1 4 5 8 9 12 13, then the others.
HOST_DEVICE GradientEntry* append(const SparseConvLoop& loop, const float* dy, const std::uint8_t* argmax,
                                  int position, GradientEntry* next) {
  const int filter = loop.kernel * loop.kernel * loop.channels;
  const __m512i step = _mm512_set1_epi32(16 * filter);
  __m512i at = _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                  _mm512_set1_epi32(filter));
  for (int k = 0; k < loop.pooled.c; k += 16, at = _mm512_add_epi32(at, step)) {
    const __mmask16 there = first_lanes(loop.pooled.c - k);
    const __m128i indices = _mm_maskz_loadu_epi8(there, argmax + k);
    const __m512 gradient = _mm512_maskz_loadu_ps(there, dy + k);
    const __mmask16 live = _mm512_mask_cmp_ps_mask(there, gradient, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const unsigned won = _mm_mask_cmpeq_epi8_mask(live, indices, _mm_set1_epi8(static_cast<char>(position)));
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
HOST_DEVICE GradientEntry* append(const SparseConvLoop& loop, const float* dy, const std::uint8_t* argmax,
                                  int position, GradientEntry* next) {
  const int filter = loop.kernel * loop.kernel * loop.channels;
  for (int k = 0; k < loop.pooled.c; ++k) {
    *next = {k * filter, dy[k]};
    const bool live = (argmax[k] == position) & (dy[k] != 0);
    next += live ? 1 : 0;  // no branch: it would be unpredictable
  }
  return next;
}
#endif

// Lists the live gradients of one image by their position: one group for each position of each window that has
// any.
HOST_DEVICE void list_by_place(const SparseConvLoop& loop, const float* dy, const std::uint8_t* argmax,
                               GradientLists& lists) {
  const int positions = loop.window.size * loop.window.size;
  GradientEntry* next = lists.entries;
  lists.groups = 0;
  for (int py = 0; py < loop.pooled.h; ++py) {
    for (int px = 0; px < loop.pooled.w; ++px, dy += loop.pooled.c, argmax += loop.pooled.c) {
      for (int position = 0; position < positions; ++position) {
        const GradientEntry* begin = next;
        next = append(loop, dy, argmax, position, next);
        if (next == begin) continue;
        lists.count[lists.groups] = static_cast<std::int32_t>(next - begin);
        lists.place[lists.groups++] = filter_corner(loop, py, px, position);
      }
    }
  }
}

// Both functions add up products of gradients and rows of values, [k, channels] for a filter row:
// Sums::add<vectors, taps, rows>() processes one list for `rows` rows of `taps` taps and `vectors` vectors of
// channels.
//   weights  the sums are a filter's gradient, the values are the image's
//   data     the sums are the gradient of the image under the filter, the values are the filter's
template <typename Sums, int kVectors, int kTaps, int kRows, typename T>
void weights_taps(const SparseConvLoop& loop, const GradientLists& lists, const T* image, float* dw, int ky,
                  int kx, int c) {
  const int windows = loop.pooled.h * loop.pooled.w;
  const int image_row = loop.width * loop.channels;
  const int filter_row = loop.kernel * loop.channels;
  const T* pixels = image + ky * image_row + kx * loop.channels + c;
  float* taps = dw + ky * filter_row + kx * loop.channels + c;
  for (int k = 0; k < loop.pooled.c; ++k, taps += loop.kernel * filter_row) {
    Sums::template add<kVectors, kTaps, kRows>(lists.entries + k * windows, lists.count[k], pixels, image_row,
                                               loop.channels, taps, filter_row);
  }
}

template <typename Sums, int kVectors, int kTaps, int kRows, typename T>
void data_taps(const SparseConvLoop& loop, const GradientLists& lists, const T* w, float* dx, int ky, int kx,
               int c) {
  const int image_row = loop.width * loop.channels;
  const int filter_row = loop.kernel * loop.channels;
  const T* filter = w + ky * filter_row + kx * loop.channels + c;
  float* pixels = dx + ky * image_row + kx * loop.channels + c;
  const GradientEntry* entries = lists.entries;
  for (int g = 0; g < lists.groups; ++g) {
    Sums::template add<kVectors, kTaps, kRows>(entries, lists.count[g], filter, filter_row, loop.channels,
                                               pixels + lists.place[g], image_row);
    entries += lists.count[g];
  }
}

// Calls body<vectors, taps, rows>(ky, kx, c) so that every tap and channel is covered once, filter rows
// outermost. A 3 x 3 filter on one vector of channels is done in one call: its sums fit into registers, and the
// lists are read only once.
template <int kLanes, typename Body>
HOST_DEVICE void cover(const SparseConvLoop& loop, const Body& body) {
  if (loop.kernel == 3 && loop.channels == kLanes) return body.template operator()<1, 3, 3>(0, 0, 0);
  for (int ky = 0; ky < loop.kernel; ++ky) {
    for_vectors<kLanes, 3>(loop.channels, [&]<int kVectors>(int c) {
      for_taps(loop.kernel,
               [&]<int kTaps>(int kx) { body.template operator()<kVectors, kTaps, 1>(ky, kx, c); });
    });
  }
}

template <typename Sums, typename T>
void sum_weights(const SparseConvLoop& loop, const GradientLists& lists, const T* image, float* dw) {
  cover<Sums::kChannels>(loop, [&]<int kVectors, int kTaps, int kRows>(int ky, int kx, int c) {
    weights_taps<Sums, kVectors, kTaps, kRows>(loop, lists, image, dw, ky, kx, c);
  });
}

template <typename Sums, typename T>
void sum_data(const SparseConvLoop& loop, const GradientLists& lists, const T* w, float* dx) {
  cover<Sums::kChannels>(loop, [&]<int kVectors, int kTaps, int kRows>(int ky, int kx, int c) {
    data_taps<Sums, kVectors, kTaps, kRows>(loop, lists, w, dx, ky, kx, c);
  });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
