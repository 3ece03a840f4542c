// A product of small matrices, row by row: a block of kRows x kVectors sums stays in registers while the inner
// dimension is walked.
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/vectors.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

template <int kLanes, int kRows, int kVectors>
HOST_DEVICE void block(const ProductLoop& p, const float* a, const float* b, float* c) {
  using Vector = typename VectorOf<kLanes>::Float;
  Vector sum[kRows][kVectors] = {};
  for (int k = 0; k < p.inner; ++k) {
    Vector right[kVectors];
    for (int v = 0; v < kVectors; ++v)
      right[v] = load<Vector>(b + static_cast<std::ptrdiff_t>(k) * p.columns + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) sum[r][v] += right[v] * a[r * p.inner + k];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * p.columns + v * kLanes;
      Vector value = sum[r][v] * p.alpha;
      if (p.add != nullptr) value += load<Vector>(p.add + (c - p.c) + at) * p.beta;
      store(c + at, value);
    }
  }
}

// kVectors vectors of columns from `column` on, of rows begin .. end - 1.
template <int kLanes, int kVectors>
HOST_DEVICE void columns(const ProductLoop& p, int begin, int end, int column) {
  constexpr int kRows = TRAINER_LOOPS_LANES == 16 ? 8 : 4;
  int row = begin;
  const auto at = [&](int r) { return p.c + static_cast<std::ptrdiff_t>(r) * p.columns + column; };
  for (; row + kRows <= end; row += kRows)
    block<kLanes, kRows, kVectors>(p, p.a + static_cast<std::ptrdiff_t>(row) * p.inner, p.b + column, at(row));
  for (; row < end; ++row)
    block<kLanes, 1, kVectors>(p, p.a + static_cast<std::ptrdiff_t>(row) * p.inner, p.b + column, at(row));
}

}  // namespace

void product(const ProductLoop& p, int begin, int end) {
  constexpr int kLanes = TRAINER_LOOPS_LANES;
  int column = 0;
  for (; column + 2 * kLanes <= p.columns; column += 2 * kLanes) columns<kLanes, 2>(p, begin, end, column);
  for (; column + kLanes <= p.columns; column += kLanes) columns<kLanes, 1>(p, begin, end, column);
  for (; column + 4 <= p.columns; column += 4) columns<4, 1>(p, begin, end, column);
  for (; column < p.columns; ++column) columns<1, 1>(p, begin, end, column);
}

}  // namespace trainer::cpu::TRAINER_LOOPS
