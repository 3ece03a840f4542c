// Backward of a convolution with a max pool after it. In each window only the argmax has a gradient, and with a
// ReLU often not even that: for windows of 2 x 2 at most a quarter of the map's gradient is nonzero. A general
// convolution multiplies all those zeros; these loops traverse lists of the nonzero gradients and add up the
// same products without them. Vectors run over input channels, [k, channels] of a filter row against the same of
// the image; kRows x kTaps x kVectors sums stay in registers during a list.
#include "kernels/cpu/loops/sparse_conv_backward.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

template <int kLanes>
struct Fp32Sums {
  static constexpr int kChannels = kLanes;

  // sum[r, t, v] += gradient * values[at + ...] over a list, [r, t] the taps of a filter; a filter's rows are
  // `row` floats apart in `values` and `sum_row` floats apart in `sums`.
  template <int kVectors, int kTaps, int kRows>
  HOST_DEVICE static void add(const GradientEntry* entries, int count, const float* values, int row,
                              int all_channels, float* sums, int sum_row) {
    using Vector = typename VectorOf<kLanes>::Float;
    const int channels = kRows > 1 ? kLanes : all_channels;  // a constant if kRows > 1
    const float* rows[kRows];
    for (int r = 0; r < kRows; ++r) rows[r] = values + r * row;
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
        for (int v = 0; v < kVectors; ++v)
          store(sums + r * sum_row + t * channels + v * kLanes, sum[r][t][v]);
      }
    }
  }
};

}  // namespace

void sparse_conv_weights(const SparseConvLoop& loop, GradientLists& lists, const float* image,
                         const float* dy, const std::uint8_t* argmax, float* dw, float* db) {
  list_by_channel(loop, dy, argmax, lists, db);
  with_lanes(loop.lanes, [&]<int kLanes>() { sum_weights<Fp32Sums<kLanes>>(loop, lists, image, dw); });
}

void sparse_conv_data(const SparseConvLoop& loop, GradientLists& lists, const float* w, const float* dy,
                      const std::uint8_t* argmax, float* dx) {
  list_by_place(loop, dy, argmax, lists);
  with_lanes(loop.lanes, [&]<int kLanes>() { sum_data<Fp32Sums<kLanes>>(loop, lists, w, dx); });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
