// Matrix products: dense layers, the head and Muon's iterations.
#pragma once

#include <cstdint>

#include "kernels/portable/batch_sum.hpp"

namespace trainer::portable {

constexpr int kRowsAtOnce =
    4;  // rows of a product that one unit computes: each value of b is read once for all

// y = relu(alpha (a b + bias) + beta add), row-major: a [rows, inner], b [inner, columns], y and add [rows, columns].
// Each element sums its products in the order of the inner index.
struct Product {
  Rows rows;  // those of a and y to compute; the rest of y becomes zero
  int inner = 0, columns = 0;
  const float *a = nullptr, *b = nullptr;
  float* y = nullptr;
  Tile tile;
  float alpha = 1, beta = 0;
  const float* add = nullptr;    // or null
  const float* bias = nullptr;   // [columns], or null
  const float* masks = nullptr;  // if set, y is zero where this is not above 0
  bool relu = false;

  HOST_DEVICE Units units() const {
    return {pieces(rows.batch, kRowsAtOnce), pieces(columns, tile.width()), 1, inner * kRowsAtOnce};
  }
  template <int L, int V>
  HOST_DEVICE void unit(int block, int at) const {
    const int first = block * kRowsAtOnce;
    const int column = at * L * V;
    const float* from[kRowsAtOnce];
    bool any = false;
    for (int r = 0; r < kRowsAtOnce; ++r) {
      const int row = first + r < rows.batch ? first + r : rows.batch - 1;
      from[r] = a + std::int64_t{row} * inner;
      any = any || rows.count(row);
    }
    Floats<L> sum[kRowsAtOnce][V] = {};
    const float* factor = b + column;
    const int terms = any ? inner : 0;
    DEVICE_UNROLL(8)
    for (int k = 0; k < terms; ++k, factor += columns) {
      for (int v = 0; v < V; ++v) {
        const Floats<L> side = load<L>(factor + v * L);
        for (int r = 0; r < kRowsAtOnce; ++r) sum[r][v] = sum[r][v] + side * from[r][k];
      }
    }
    for (int r = 0; r < kRowsAtOnce && first + r < rows.batch; ++r) {
      for (int v = 0; v < V; ++v) finish<L>(first + r, column + v * L, sum[r][v]);
    }
  }

 private:
  template <int L>
  HOST_DEVICE void finish(int row, int column, Floats<L> sum) const {
    const std::int64_t at = std::int64_t{row} * columns + column;
    const Floats<L> zero{};
    if (bias != nullptr) sum = sum + load<L>(bias + column);
    sum = sum * alpha;
    if (add != nullptr) sum = load<L>(add + at) * beta + sum;
    if (relu) sum = sum < zero ? zero : sum;
    if (masks != nullptr) sum = load<L>(masks + at) > zero ? sum : zero;
    store<L>(y + at, rows.count(row) ? sum : zero, columns - column);
  }
};

// dw [out, in] = the sum over the batch of g^T x: x [batch, in], g [batch, out].
struct DenseWeights {
  Rows rows;
  int in = 0, out = 0;
  const float *x = nullptr, *g = nullptr;
  float* dw = nullptr;
  Tile tile;

  HOST_DEVICE Units units() const {
    return {pieces(out, kRowsAtOnce), pieces(in, tile.width()), 1, rows.batch * kRowsAtOnce};
  }
  template <int L, int V>
  HOST_DEVICE void unit(int block, int at) const {
    const int column = at * L * V;
    int o[kRowsAtOnce];
    for (int r = 0; r < kRowsAtOnce; ++r)
      o[r] = block * kRowsAtOnce + r < out ? block * kRowsAtOnce + r : out - 1;
    Floats<L> shard[kRowsAtOnce][V][kShards];
    for (int s = 0; s < kShards; ++s) {
      Floats<L> sum[kRowsAtOnce][V] = {};
      DEVICE_UNROLL(16)
      for (int n = rows.begin(s); n < rows.begin(s + 1); ++n) {
        const bool counts = rows.is_selected(n);
        if (L > 1 && !counts) continue;  // a GPU does not let the loads wait for this
        const float* slope = g + std::int64_t{n} * out;
        for (int v = 0; v < V; ++v) {
          const Floats<L> side = load<L>(x + std::int64_t{n} * in + column + v * L);
          for (int r = 0; r < kRowsAtOnce; ++r)
            sum[r][v] = counts ? sum[r][v] + side * slope[o[r]] : sum[r][v];
        }
      }
      for (int r = 0; r < kRowsAtOnce; ++r) {
        for (int v = 0; v < V; ++v) shard[r][v][s] = sum[r][v];
      }
    }
    for (int r = 0; r < kRowsAtOnce; ++r) {
      for (int v = 0; v < V; ++v)
        store<L>(dw + std::int64_t{o[r]} * in + column + v * L, tree(shard[r][v]), in - column - v * L);
    }
  }
};

// to [columns, rows] = from^T, from [rows, columns].
struct Transpose {
  int rows = 0, columns = 0;
  const float* from = nullptr;
  float* to = nullptr;

  HOST_DEVICE Units units() const { return {columns, rows}; }
  HOST_DEVICE void unit(int column, int row) const {
    to[std::int64_t{column} * rows + row] = from[std::int64_t{row} * columns + column];
  }
};

}  // namespace trainer::portable
