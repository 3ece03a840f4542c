// Backward of a convolution that a max pool follows. Of each window one position carries a gradient, the
// winner, and with ReLU often none: at most a quarter of the map's gradient is not zero for windows of 2 x 2.
// A general convolution multiplies all those zeros; these loops walk the winners alone and do the same sums
// without them. The vectors run over input channels, [k, channels] of a filter row against the same of the
// image: kTaps x kVectors sums stay in registers while a list of winners is walked.
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/vectors.hpp"
#include "kernels/cpu/loops/winner_lists.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

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
