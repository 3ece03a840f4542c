// Backward of a convolution that a max pool follows. Of each window one position carries a gradient, the
// argmax, and with ReLU often none: at most a quarter of the map's gradient is not zero for windows of 2 x 2.
// A general convolution multiplies all those zeros; these loops walk the argmax positions alone and do the same sums
// without them. The vectors run over input channels, [k, channels] of a filter row against the same of the
// image: kRows x kTaps x kVectors sums stay in registers while a list of argmax positions is walked.
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/vectors.hpp"
#include "kernels/cpu/loops/winner_lists.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// sum[r, t, v] += gradient * from[at + ...] over a list, [r, t] the taps of a filter: at `row` floats from
// one filter row to the next in `from`, at `sum_row` in `sums`.
template <int kLanes, int kVectors, int kTaps, int kRows>
HOST_DEVICE void add_entries(const WinnerEntry* entries, int count, const float* from, int row,
                             int all_channels, float* sums, int sum_row) {
  using Vector = typename VectorOf<kLanes>::Float;
  const int channels = kRows > 1 ? kLanes : all_channels;  // a constant where it is known
  const float* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = from + r * row;
  Vector sum[kRows][kTaps][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kTaps; ++t) {
      for (int v = 0; v < kVectors; ++v)
        sum[r][t][v] = load<Vector>(sums + r * sum_row + t * channels + v * kLanes);
    }
  }
  for (int i = 0; i < count; ++i) {
    const std::ptrdiff_t at = entries[i].at;
    for (int r = 0; r < kRows; ++r) {
      for (int t = 0; t < kTaps; ++t) {
        for (int v = 0; v < kVectors; ++v)
          sum[r][t][v] += load<Vector>(rows[r] + at + t * channels + v * kLanes) * entries[i].gradient;
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kTaps; ++t) {
      for (int v = 0; v < kVectors; ++v) store(sums + r * sum_row + t * channels + v * kLanes, sum[r][t][v]);
    }
  }
}

// Some taps of every filter: `kRows` filter rows from ky on, `kTaps` taps from kx on, `kVectors` vectors of
// channels from c on.
template <int kLanes, int kVectors, int kTaps, int kRows>
void weights_taps(const WinnerLoop& loop, const WinnerLists& lists, const float* image, float* dw, int ky,
                  int kx, int c) {
  const int windows = loop.pooled.h * loop.pooled.w;
  const int image_row = loop.width * loop.channels;
  const int filter_row = loop.kernel * loop.channels;
  const float* pixels = image + ky * image_row + kx * loop.channels + c;
  float* taps = dw + ky * filter_row + kx * loop.channels + c;
  for (int k = 0; k < loop.pooled.c; ++k, taps += loop.kernel * filter_row) {
    add_entries<kLanes, kVectors, kTaps, kRows>(lists.entries + k * windows, lists.count[k], pixels,
                                                image_row, loop.channels, taps, filter_row);
  }
}

template <int kLanes, int kVectors, int kTaps, int kRows>
void data_taps(const WinnerLoop& loop, const WinnerLists& lists, const float* w, float* dx, int ky, int kx,
               int c) {
  const int image_row = loop.width * loop.channels;
  const int filter_row = loop.kernel * loop.channels;
  const float* filter = w + ky * filter_row + kx * loop.channels + c;
  float* pixels = dx + ky * image_row + kx * loop.channels + c;
  const WinnerEntry* entries = lists.entries;
  for (int g = 0; g < lists.groups; ++g) {
    add_entries<kLanes, kVectors, kTaps, kRows>(entries, lists.count[g], filter, filter_row, loop.channels,
                                                pixels + lists.place[g], image_row);
    entries += lists.count[g];
  }
}

// A filter of 3 x 3 on one vector of channels is walked at once: nine sums, and the lists are read once.
template <int kLanes>
bool takes_whole_filter(const WinnerLoop& loop) {
  return loop.kernel == 3 && loop.channels == kLanes;
}

template <int kLanes>
void weights(const WinnerLoop& loop, const WinnerLists& lists, const float* image, float* dw) {
  if (takes_whole_filter<kLanes>(loop)) return weights_taps<kLanes, 1, 3, 3>(loop, lists, image, dw, 0, 0, 0);
  cover<kLanes>(loop, [&]<int kVectors, int kTaps>(int ky, int kx, int c) {
    weights_taps<kLanes, kVectors, kTaps, 1>(loop, lists, image, dw, ky, kx, c);
  });
}

template <int kLanes>
void data(const WinnerLoop& loop, const WinnerLists& lists, const float* w, float* dx) {
  if (takes_whole_filter<kLanes>(loop)) return data_taps<kLanes, 1, 3, 3>(loop, lists, w, dx, 0, 0, 0);
  cover<kLanes>(loop, [&]<int kVectors, int kTaps>(int ky, int kx, int c) {
    data_taps<kLanes, kVectors, kTaps, 1>(loop, lists, w, dx, ky, kx, c);
  });
}

}  // namespace

void winner_weights(const WinnerLoop& loop, WinnerLists& lists, const float* image, const float* dy,
                    const std::uint8_t* winner, float* dw, float* db) {
  list_by_channel(loop, dy, winner, lists, db);
  with_lanes(loop.lanes, [&]<int kLanes>() { weights<kLanes>(loop, lists, image, dw); });
}

void winner_data(const WinnerLoop& loop, WinnerLists& lists, const float* w, const float* dy,
                 const std::uint8_t* winner, float* dx) {
  list_by_place(loop, dy, winner, lists);
  with_lanes(loop.lanes, [&]<int kLanes>() { data<kLanes>(loop, lists, w, dx); });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
