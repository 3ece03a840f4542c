// The lists of a pool's winners that the loops of winners.cpp and winners_bf16.cpp walk, and the order in
// which both take the filter's taps.
#pragma once

#include "kernels/cpu/loops.hpp"
#include "kernels/math/host_device.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

// Where in the padded image the filter lies that made the winner of window (py, px); in floats.
HOST_DEVICE std::int32_t filter_corner(const WinnerLoop& loop, int py, int px, int winner) {
  const int row = (py * loop.window.stride + winner / loop.window.size) * loop.stride;
  const int column = (px * loop.window.stride + winner % loop.window.size) * loop.stride;
  return (row * loop.width + column) * loop.channels;
}

// The live winners of one image by output channel: entries of channel k begin at k * windows.
HOST_DEVICE void list_by_channel(const WinnerLoop& loop, const float* dy, const std::uint8_t* winner,
                                 WinnerLists& lists) {
  const int windows = loop.pooled.h * loop.pooled.w;
  for (int k = 0; k < loop.pooled.c; ++k) lists.count[k] = 0;
  std::int32_t corners[256] = {};  // of the winners of a window
  const int positions = loop.window.size * loop.window.size;
  for (int py = 0; py < loop.pooled.h; ++py) {
    for (int px = 0; px < loop.pooled.w; ++px) {
      for (int p = 0; p < positions; ++p) corners[p] = filter_corner(loop, py, px, p);
      for (int k = 0; k < loop.pooled.c; ++k, ++dy, ++winner) {
        lists.entries[k * windows + lists.count[k]] = {corners[*winner], *dy};
        lists.count[k] += *winner == kNoWinner ? 0 : 1;  // no branch: it would be a guess
      }
    }
  }
}

// The live winners of one image by their place in it: of every window, one group for each position that won.
HOST_DEVICE void list_by_place(const WinnerLoop& loop, const float* dy, const std::uint8_t* winner,
                               WinnerLists& lists) {
  const int filter = loop.kernel * loop.kernel * loop.channels;
  const int positions = loop.window.size * loop.window.size;
  std::int32_t next[256] = {};  // for each position, and for no winner: the place of its next entry
  std::int32_t first = 0;
  lists.groups = 0;
  for (int py = 0; py < loop.pooled.h; ++py) {
    for (int px = 0; px < loop.pooled.w; ++px, dy += loop.pooled.c, winner += loop.pooled.c) {
      for (int k = 0; k < loop.pooled.c; ++k) ++next[winner[k]];
      for (int position = 0; position < positions; ++position) {
        const std::int32_t count = next[position];
        next[position] = first;
        first += count;
        if (count == 0) continue;
        lists.count[lists.groups] = count;
        lists.place[lists.groups++] = filter_corner(loop, py, px, position);
      }
      next[kNoWinner] = first;  // behind the others, until the next window's are written over them
      for (int k = 0; k < loop.pooled.c; ++k) lists.entries[next[winner[k]]++] = {k * filter, dy[k]};
      for (int position = 0; position < positions; ++position) next[position] = 0;
      next[kNoWinner] = 0;
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
