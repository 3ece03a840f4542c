// The one order in which the portable engine adds up over the images of a batch: the images of a shard one after the other, and
// the shards as a tree. Shard s holds rows [s B / 8, (s + 1) B / 8) of a batch of B rows, selected or not, so that a selection
// leaves terms out but moves no border. A sum begins at +0; terms that are exactly zero may be left out.
#pragma once

#include <cstdint>

#include "kernels/portable/lanes.hpp"

namespace trainer::portable {

constexpr std::uint32_t kShards = 8;

// The rows of a batch that backward covers: all, or those that the head has selected (kernels/map_contract.hpp).
struct Rows {
  std::uint32_t batch = 0;
  // Null: all rows. Else [kShards + 1] the position at which each shard begins, and [batch] the selected rows in ascending order,
  // then the others.
  const std::uint32_t* first = nullptr;
  const std::uint32_t* listed = nullptr;

  HOST_DEVICE std::uint32_t row(std::uint32_t position) const {
    return listed == nullptr ? position : listed[position];
  }
  HOST_DEVICE std::uint32_t begin(std::uint32_t shard) const {
    return first == nullptr ? static_cast<std::uint32_t>(std::uint64_t{shard} * batch / kShards)
                            : first[shard];
  }
  HOST_DEVICE std::uint32_t count() const { return begin(kShards); }
};

template <typename V>
HOST_DEVICE V tree(const V (&shard)[kShards]) {
  return ((shard[0] + shard[1]) + (shard[2] + shard[3])) + ((shard[4] + shard[5]) + (shard[6] + shard[7]));
}

// The sum over the batch of L columns of `values` [batch, stride], one row an image. Only the first `valid` rows count.
template <int L>
HOST_DEVICE Floats<L> batch_sum(const Rows& rows, std::uint32_t valid, const float* values, int stride) {
  Floats<L> shard[kShards];
  for (std::uint32_t s = 0; s < kShards; ++s) {
    shard[s] = Floats<L>{};
    for (std::uint32_t i = rows.begin(s); i < rows.begin(s + 1); ++i) {
      const std::uint32_t n = rows.row(i);
      if (n < valid) shard[s] = shard[s] + load<L>(values + static_cast<std::size_t>(n) * stride);
    }
  }
  return tree(shard);
}

// Lists the selected rows, of `selected` [batch]: unit n places row n.
struct ListRows {
  std::uint32_t batch = 0;
  const std::uint8_t* selected = nullptr;
  std::uint32_t* first = nullptr;
  std::uint32_t* listed = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return batch; }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t n, std::uint32_t /*inner*/) const {
    std::uint32_t before = 0;
    std::uint32_t total = 0;
    for (std::uint32_t m = 0; m < batch; ++m) {
      before += m < n ? selected[m] : 0U;
      total += selected[m];
    }
    listed[selected[n] != 0 ? before : total + (n - before)] = n;
    for (std::uint32_t s = 0; s < kShards; ++s) {
      if (static_cast<std::uint32_t>(std::uint64_t{s} * batch / kShards) == n) first[s] = before;
    }
    if (n == 0) first[kShards] = total;
  }
};

// y[i] = the tree of the shards' partial sums [kShards, count].
struct AddShards {
  const float* partial = nullptr;
  std::uint32_t count = 0;
  float* y = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return count; }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t i, std::uint32_t /*inner*/) const {
    float shard[kShards];
    for (std::uint32_t s = 0; s < kShards; ++s) shard[s] = partial[std::size_t{s} * count + i];
    y[i] = tree(shard);
  }
};

}  // namespace trainer::portable
