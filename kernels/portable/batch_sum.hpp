// The one order in which the portable engine adds up over the images of a batch: the positions of an image, the images of a shard
// one after the other, and the shards as a tree. Shard s holds rows [s B / 8, (s + 1) B / 8) of a batch of B rows, selected or not,
// so that a selection leaves terms out but moves no border. A sum begins at +0; terms that are exactly zero may be left out.
// Each of several ranks has whole shards of their common batch: the others' are empty in its sums, which leaves its part of the
// tree, and the parts added in the same order give the whole.
#pragma once

#include <cstdint>

#include "kernels/math/step_state.hpp"
#include "kernels/portable/elementary.hpp"
#include "kernels/portable/lanes.hpp"
#include "kernels/portable/units.hpp"

namespace trainer::portable {

constexpr int kShards = 8;
constexpr std::uint8_t kNoArgmax = 255;  // marks a pooled output whose gradient the ReLU makes zero

// The rows of a batch that count.
struct Rows {
  int batch = 0;
  const std::uint8_t* selected = nullptr;  // [batch], kernels/map_contract.hpp; null: all
  const StepState* state = nullptr;        // if set, only those that hold an image
  int all = 0, first = 0;  // ranks: the rows of all of them, and this one's place; 0: one rank

  HOST_DEVICE int with_image() const { return state == nullptr ? batch : static_cast<int>(state->valid); }
  HOST_DEVICE bool is_selected(int n) const {
    return selected == nullptr || read<std::uint8_t>(selected + n) != 0;
  }
  HOST_DEVICE bool count(int n) const { return is_selected(n) && n < with_image(); }
  HOST_DEVICE int begin(int shard) const {
    if (all == 0) return shard * batch / kShards;
    const int at = shard * all / kShards - first;
    return at < 0 ? 0 : at < batch ? at : batch;
  }
};

// The elements of a channel: `positions` of each row that holds an image, on all ranks.
HOST_DEVICE float element_count(const StepState& state, int positions) {
  return static_cast<float>(state.valid_of_all()) * static_cast<float>(positions);
}

template <typename V>
HOST_DEVICE V tree(const V (&shard)[kShards]) {
  return ((shard[0] + shard[1]) + (shard[2] + shard[3])) + ((shard[4] + shard[5]) + (shard[6] + shard[7]));
}

// The sum over the rows of L columns of `values`, rows `stride` apart.
template <int L>
HOST_DEVICE Floats<L> batch_sum(const Rows& rows, const float* values, int stride) {
  Floats<L> shard[kShards];
  const int valid = rows.with_image();
  for (int s = 0; s < kShards; ++s) {
    const int end = rows.begin(s + 1) < valid ? rows.begin(s + 1) : valid;
    Floats<L> sum{};
    if (rows.selected == nullptr) {
      DEVICE_UNROLL(32)
      for (int n = rows.begin(s); n < end; ++n) sum = sum + load<L>(values + std::int64_t{n} * stride);
    } else {
      DEVICE_UNROLL(16)
      for (int n = rows.begin(s); n < end; ++n) {
        const Floats<L> value = load<L>(values + std::int64_t{n} * stride);
        sum = rows.is_selected(n) ? sum + value : sum;
      }
    }
    shard[s] = sum;
  }
  return tree(shard);
}

// sums [batch, map.c]: each image's sum over its positions, of x; of (x - mean)^2, if `mean` is set; of those x that the ReLU
// let pass, if `argmax` is set.
struct SumPositions {
  int batch = 0;
  Shape map;
  Tile tile;
  const float* x = nullptr;
  float* sums = nullptr;
  const float* mean = nullptr;  // [map.c]
  const std::uint8_t* argmax = nullptr;

  HOST_DEVICE Units units() const { return {batch, pieces(map.c, tile.lanes), 1, map.h * map.w}; }
  template <int L>
  HOST_DEVICE void unit(int n, int vector) const {
    const int c = vector * L;
    const Floats<L> centre = mean == nullptr ? Floats<L>{} : load<L>(mean + c);
    std::int64_t at = image_at(n, map) + c;
    Floats<L> sum{};
    DEVICE_UNROLL(16)
    for (int i = 0; i < map.h * map.w; ++i, at += map.c) {
      Floats<L> value = load<L>(x + at);
      if (argmax != nullptr) value = load<L>(argmax + at) == Words<L>{} + kNoArgmax ? Floats<L>{} : value;
      if (mean != nullptr) value = (value - centre) * (value - centre);
      sum = sum + value;
    }
    store<L>(sums + std::int64_t{n} * map.c + c, sum, map.c - c);
  }
};

// y [columns] = the sum over the batch of values [batch, columns]; if `positions` is set, it is divided by so many for each row
// with an image. A batch of 1, 2, 4 or 8 rows of partial sums becomes their tree.
struct SumImages {
  Rows rows;
  int columns = 0;
  Tile tile;
  const float* values = nullptr;
  float* y = nullptr;
  int positions = 0;
  const StepState* state = nullptr;  // says how many rows have an image

  HOST_DEVICE Units units() const { return {pieces(columns, tile.lanes), 1, 1, rows.batch}; }
  template <int L>
  HOST_DEVICE void unit(int vector) const {
    const int column = vector * L;
    Floats<L> sum = batch_sum<L>(rows, values + column, columns);
    if (positions > 0) sum = portable_div(sum, Floats<L>{} + element_count(*state, positions));
    store<L>(y + column, sum, columns - column);
  }
};

}  // namespace trainer::portable
