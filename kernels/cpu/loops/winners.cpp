// Backward of a convolution that a max pool follows. Of each window one position carries a gradient, the
// winner, and with ReLU often none: at most a quarter of the map's gradient is not zero for windows of 2 x 2.
// A general convolution multiplies all those zeros; these loops walk the winners alone and do the same sums
// without them. The vectors run over input channels, [k, channels] of a filter row against the same of the
// image: kTaps x kVectors sums stay in registers while a list of winners is walked.
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/vectors.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// Where in the padded image the filter lies that made the winner of window (py, px); in floats.
HOST_DEVICE std::int32_t filter_corner(const WinnerLoop& loop, int py, int px, int winner) {
  const int row = (py * loop.window.stride + winner / loop.window.size) * loop.stride;
  const int column = (px * loop.window.stride + winner % loop.window.size) * loop.stride;
  return (row * loop.width + column) * loop.channels;
}

// The live winners of one image by output channel: entries of channel k begin at k * windows.
void list_by_channel(const WinnerLoop& loop, const float* dy, const std::uint8_t* winner,
                     WinnerLists& lists) {
  const int windows = loop.pooled.h * loop.pooled.w;
  for (int k = 0; k < loop.pooled.c; ++k) lists.count[k] = 0;
  for (int py = 0; py < loop.pooled.h; ++py) {
    for (int px = 0; px < loop.pooled.w; ++px) {
      for (int k = 0; k < loop.pooled.c; ++k, ++dy, ++winner) {
        if (*winner == kNoWinner) continue;
        lists.entries[k * windows + lists.count[k]++] = {filter_corner(loop, py, px, *winner), *dy};
      }
    }
  }
}

// sum[t, v] += gradient * image over the winners of one output channel.
template <int kLanes, int kVectors, int kTaps>
HOST_DEVICE void weights_row(const WinnerEntry* entries, int count, const float* image, int channels,
                             float* dw) {
  using Vector = typename VectorOf<kLanes>::Float;
  Vector sum[kTaps][kVectors];
  for (int t = 0; t < kTaps; ++t) {
    for (int v = 0; v < kVectors; ++v) sum[t][v] = load<Vector>(dw + t * channels + v * kLanes);
  }
  for (int i = 0; i < count; ++i) {
    const float* pixels = image + entries[i].at;
    for (int t = 0; t < kTaps; ++t) {
      for (int v = 0; v < kVectors; ++v) {
        sum[t][v] += load<Vector>(pixels + t * channels + v * kLanes) * entries[i].gradient;
      }
    }
  }
  for (int t = 0; t < kTaps; ++t) {
    for (int v = 0; v < kVectors; ++v) store(dw + t * channels + v * kLanes, sum[t][v]);
  }
}

// sum[t, v] += gradient * filter over the winners of one place in the image.
template <int kLanes, int kVectors, int kTaps>
HOST_DEVICE void data_row(const WinnerEntry* entries, int count, const float* w, int channels, float* dx) {
  using Vector = typename VectorOf<kLanes>::Float;
  Vector sum[kTaps][kVectors];
  for (int t = 0; t < kTaps; ++t) {
    for (int v = 0; v < kVectors; ++v) sum[t][v] = load<Vector>(dx + t * channels + v * kLanes);
  }
  for (int i = 0; i < count; ++i) {
    const float* filter = w + entries[i].at;
    for (int t = 0; t < kTaps; ++t) {
      for (int v = 0; v < kVectors; ++v) {
        sum[t][v] += load<Vector>(filter + t * channels + v * kLanes) * entries[i].gradient;
      }
    }
  }
  for (int t = 0; t < kTaps; ++t) {
    for (int v = 0; v < kVectors; ++v) store(dx + t * channels + v * kLanes, sum[t][v]);
  }
}

// One row of every filter, `kTaps` taps at a time from kx on, for `kVectors` vectors of channels from c on.
template <int kLanes, int kVectors, int kTaps>
void weights_taps(const WinnerLoop& loop, const WinnerLists& lists, const float* image, float* dw, int ky,
                  int kx, int c) {
  const int windows = loop.pooled.h * loop.pooled.w;
  const float* pixels = image + (ky * loop.width + kx) * loop.channels + c;
  for (int k = 0; k < loop.pooled.c; ++k) {
    float* taps = dw + ((k * loop.kernel + ky) * loop.kernel + kx) * loop.channels + c;
    weights_row<kLanes, kVectors, kTaps>(lists.entries + k * windows, lists.count[k], pixels, loop.channels,
                                         taps);
  }
}

template <int kLanes, int kVectors, int kTaps>
void data_taps(const WinnerLoop& loop, const WinnerLists& lists, const float* w, float* dx, int ky, int kx,
               int c) {
  const float* filter = w + (ky * loop.kernel + kx) * loop.channels + c;
  float* pixels = dx + (ky * loop.width + kx) * loop.channels + c;
  const WinnerEntry* entries = lists.entries;
  for (int g = 0; g < lists.groups; ++g) {
    data_row<kLanes, kVectors, kTaps>(entries, lists.count[g], filter, loop.channels,
                                      pixels + lists.place[g]);
    entries += lists.count[g];
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

template <int kLanes>
void weights(const WinnerLoop& loop, const WinnerLists& lists, const float* image, float* dw) {
  cover<kLanes>(loop, [&]<int kVectors, int kTaps>(int ky, int kx, int c) {
    weights_taps<kLanes, kVectors, kTaps>(loop, lists, image, dw, ky, kx, c);
  });
}

template <int kLanes>
void data(const WinnerLoop& loop, const WinnerLists& lists, const float* w, float* dx) {
  cover<kLanes>(loop, [&]<int kVectors, int kTaps>(int ky, int kx, int c) {
    data_taps<kLanes, kVectors, kTaps>(loop, lists, w, dx, ky, kx, c);
  });
}

// The live winners of one image by their place in it: of every window, one group for each position that won.
void list_by_place(const WinnerLoop& loop, const float* dy, const std::uint8_t* winner, WinnerLists& lists) {
  const int filter = loop.kernel * loop.kernel * loop.channels;
  const int positions = loop.window.size * loop.window.size;
  WinnerEntry* next = lists.entries;
  lists.groups = 0;
  for (int py = 0; py < loop.pooled.h; ++py) {
    for (int px = 0; px < loop.pooled.w; ++px, dy += loop.pooled.c, winner += loop.pooled.c) {
      for (int position = 0; position < positions; ++position) {
        const WinnerEntry* begin = next;
        for (int k = 0; k < loop.pooled.c; ++k) {
          *next = {k * filter, dy[k]};
          next += winner[k] == position ? 1 : 0;
        }
        if (next == begin) continue;
        lists.count[lists.groups] = static_cast<std::int32_t>(next - begin);
        lists.place[lists.groups++] = filter_corner(loop, py, px, position);
      }
    }
  }
}

}  // namespace

void winner_weights(const WinnerLoop& loop, WinnerLists& lists, const float* image, const float* dy,
                    const std::uint8_t* winner, float* dw, float* db) {
  list_by_channel(loop, dy, winner, lists);
  const int windows = loop.pooled.h * loop.pooled.w;
  for (int k = 0; k < loop.pooled.c; ++k) {
    for (int i = 0; i < lists.count[k]; ++i) db[k] += lists.entries[k * windows + i].gradient;
  }
  with_lanes(loop.lanes, [&]<int kLanes>() { weights<kLanes>(loop, lists, image, dw); });
}

void winner_data(const WinnerLoop& loop, WinnerLists& lists, const float* w, const float* dy,
                 const std::uint8_t* winner, float* dx) {
  list_by_place(loop, dy, winner, lists);
  with_lanes(loop.lanes, [&]<int kLanes>() { data<kLanes>(loop, lists, w, dx); });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
