// Matrix products: dense layers, the head and Muon's iterations.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/portable/batch_sum.hpp"

namespace trainer::portable {

constexpr std::uint32_t kRowsAtOnce =
    4;  // rows of a product that one unit computes: each value of b is read once for all

constexpr std::uint32_t pieces(std::uint32_t count, std::uint32_t size) {
  return (count + size - 1) / size;
}

// y = relu(alpha (a b + bias) + beta add), row-major: a [rows, inner], b [inner, columns] with rows `ldb` apart, y and add
// [rows, columns]. Each element sums its products in the order of the inner index.
struct Product {
  Rows rows = {};  // those of a and y to compute; the rest of y becomes zero
  int inner_count = 0;
  int columns = 0;
  const float* a = nullptr;
  const float* b = nullptr;
  int ldb = 0;
  float* y = nullptr;
  float alpha = 1;
  float beta = 0;
  const float* bias = nullptr;   // [columns], or null
  const float* add = nullptr;    // or null
  const float* masks = nullptr;  // if set, y is zero where this is not above 0
  bool relu = false;
  int lanes = 1;

  HOST_DEVICE std::uint32_t outer() const { return pieces(rows.batch, kRowsAtOnce); }
  HOST_DEVICE std::uint32_t inner() const {
    return pieces(static_cast<std::uint32_t>(columns), static_cast<std::uint32_t>(lanes));
  }

  template <int L>
  HOST_DEVICE void unit(std::uint32_t outer, std::uint32_t inner) const {
    const auto column = static_cast<int>(inner) * L;
    const std::uint32_t count = rows.count();
    const float* from[kRowsAtOnce];
    Floats<L> sum[kRowsAtOnce];
    for (std::uint32_t r = 0; r < kRowsAtOnce; ++r) {
      const std::uint32_t position = outer * kRowsAtOnce + r;
      from[r] = a + static_cast<std::size_t>(rows.row(position < rows.batch ? position : rows.batch - 1)) *
                        inner_count;
      sum[r] = Floats<L>{};
    }
    if (outer * kRowsAtOnce < count) {
      const float* at = b + column;
      for (int k = 0; k < inner_count; ++k, at += ldb) {
        const Floats<L> factor = load<L>(at);
        for (std::uint32_t r = 0; r < kRowsAtOnce; ++r) sum[r] = sum[r] + factor * from[r][k];
      }
    }
    for (std::uint32_t r = 0; r < kRowsAtOnce; ++r) {
      const std::uint32_t position = outer * kRowsAtOnce + r;
      if (position < count) {
        finish<L>(rows.row(position), column, sum[r]);
      } else if (position < rows.batch) {
        store<L>(y + element(rows.row(position), column), Floats<L>{}, columns - column);
      }
    }
  }

 private:
  HOST_DEVICE std::size_t element(std::uint32_t row, int column) const {
    return static_cast<std::size_t>(row) * columns + column;
  }

  template <int L>
  HOST_DEVICE void finish(std::uint32_t row, int column, Floats<L> sum) const {
    const std::size_t at = element(row, column);
    const Floats<L> zero{};
    if (bias != nullptr) sum = sum + load<L>(bias + column);
    sum = sum * alpha;
    if (add != nullptr) sum = load<L>(add + at) * beta + sum;
    if (relu) sum = sum < zero ? zero : sum;
    if (masks != nullptr) sum = load<L>(masks + at) > zero ? sum : zero;
    store<L>(y + at, sum, columns - column);
  }
};

// dw [out, in] = the sum over the batch of g^T x: x [batch, in], g [batch, out].
struct DenseWeights {
  Rows rows = {};
  int in = 0;
  int out = 0;
  const float* x = nullptr;
  const float* g = nullptr;
  float* dw = nullptr;
  int lanes = 1;

  HOST_DEVICE std::uint32_t outer() const { return pieces(static_cast<std::uint32_t>(out), kRowsAtOnce); }
  HOST_DEVICE std::uint32_t inner() const {
    return pieces(static_cast<std::uint32_t>(in), static_cast<std::uint32_t>(lanes));
  }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t outer, std::uint32_t inner) const {
    const auto column = static_cast<int>(inner) * L;
    const int first = static_cast<int>(outer * kRowsAtOnce);
    int o[kRowsAtOnce];
    for (int r = 0; r < static_cast<int>(kRowsAtOnce); ++r) o[r] = first + r < out ? first + r : out - 1;
    Floats<L> shard[kRowsAtOnce][kShards];
    for (std::uint32_t s = 0; s < kShards; ++s) {
      Floats<L> sum[kRowsAtOnce] = {};
      for (std::uint32_t i = rows.begin(s); i < rows.begin(s + 1); ++i) {
        const std::size_t n = rows.row(i);
        const Floats<L> factor = load<L>(x + n * in + column);
        for (std::uint32_t r = 0; r < kRowsAtOnce; ++r) sum[r] = sum[r] + factor * g[n * out + o[r]];
      }
      for (std::uint32_t r = 0; r < kRowsAtOnce; ++r) shard[r][s] = sum[r];
    }
    for (std::uint32_t r = 0; r < kRowsAtOnce; ++r)
      store<L>(dw + static_cast<std::size_t>(o[r]) * in + column, tree(shard[r]), in - column);
  }
};

// y [columns] = the sum over the batch of values [batch, columns].
struct SumImages {
  Rows rows = {};
  int columns = 0;
  const float* values = nullptr;
  float* y = nullptr;
  int lanes = 1;

  HOST_DEVICE std::uint32_t outer() const {
    return pieces(static_cast<std::uint32_t>(columns), static_cast<std::uint32_t>(lanes));
  }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t outer, std::uint32_t /*inner*/) const {
    const int column = static_cast<int>(outer) * L;
    store<L>(y + column, batch_sum<L>(rows, rows.batch, values + column, columns), columns - column);
  }
};

// to [columns, stride] = from^T, from [rows, columns]; zero from column `rows` on.
struct Transpose {
  const float* from = nullptr;
  int rows = 0;
  int columns = 0;
  float* to = nullptr;
  int stride = 0;

  HOST_DEVICE std::uint32_t outer() const { return static_cast<std::uint32_t>(columns); }
  HOST_DEVICE std::uint32_t inner() const { return static_cast<std::uint32_t>(stride); }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t outer, std::uint32_t inner) const {
    to[std::size_t{outer} * stride + inner] =
        inner < static_cast<std::uint32_t>(rows) ? from[std::size_t{inner} * columns + outer] : 0.0F;
  }
};

}  // namespace trainer::portable
