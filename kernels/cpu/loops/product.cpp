// Products of small row-major matrices: a block of sums stays in registers during the loop over the inner
// dimension; no matrix has 2^31 elements. For a matrix times its own transpose only one of two mirrored blocks is
// computed.
#include "kernels/cpu/loops/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

template <int kLanes, int kRows, int kVectors>
HOST_DEVICE void block(const ProductLoop& p, const float* a, const float* b, float* c) {
  using Vector = typename VectorOf<kLanes>::Float;
  Vector sum[kRows][kVectors] = {};
  for (int k = 0; k < p.inner; ++k) {
    Vector right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = load<Vector>(b + k * p.columns + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) sum[r][v] += right[v] * a[r * p.inner + k];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const std::ptrdiff_t at = r * p.columns + v * kLanes;
      Vector value = sum[r][v] * p.alpha;
      if (p.add != nullptr) value += load<Vector>(p.add + (c - p.c) + at) * p.beta;
      store(c + at, value);
    }
  }
}

// Computes kVectors vectors of columns from `column` on for rows begin .. end - 1.
template <int kLanes, int kVectors>
HOST_DEVICE void columns(const ProductLoop& p, int begin, int end, int column) {
  constexpr int kRows = TRAINER_LOOPS_LANES == 16 ? 8 : 4;
  int row = begin;
  const auto at = [&](int r) { return p.c + r * p.columns + column; };
  for (; row + kRows <= end; row += kRows)
    block<kLanes, kRows, kVectors>(p, p.a + row * p.inner, p.b + column, at(row));
  for (; row < end; ++row) block<kLanes, 1, kVectors>(p, p.a + row * p.inner, p.b + column, at(row));
}

constexpr int kGramRows = 4;

// Computes a[i + r][j + s] and its mirror, r and s below kRows: products of rows of x with rows of x.
template <int kRows>
HOST_DEVICE void gram_block(const GramLoop& g, int i, int j) {
  using Vector = typename VectorOf<TRAINER_LOOPS_LANES>::Float;
  constexpr int kLanes = TRAINER_LOOPS_LANES;
  const float* left = g.x + i * g.columns;
  const float* right = g.x + j * g.columns;
  Vector sum[kRows][kRows] = {};
  int k = 0;
  for (; k + kLanes <= g.columns; k += kLanes) {
    Vector other[kRows];
    for (int s = 0; s < kRows; ++s) other[s] = load<Vector>(right + s * g.columns + k);
    for (int r = 0; r < kRows; ++r) {
      const auto own = load<Vector>(left + r * g.columns + k);
      for (int s = 0; s < kRows; ++s) sum[r][s] += own * other[s];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int s = 0; s < kRows; ++s) {
      float total = 0;
      for (int lane = 0; lane < kLanes; ++lane) total += sum[r][s][lane];
      for (int rest = k; rest < g.columns; ++rest)
        total += left[r * g.columns + rest] * right[s * g.columns + rest];
      g.a[(i + r) * g.rows + j + s] = total;
      g.a[(j + s) * g.rows + i + r] = total;
    }
  }
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

// Blocks are counted row by row, from each row's diagonal on.
void gram(const GramLoop& g, int begin, int end) {
  const int blocks = gram_rows(g.rows);
  int count = 0;
  for (int bi = 0; bi < blocks; ++bi) {
    for (int bj = bi; bj < blocks; ++bj, ++count) {
      if (count < begin || count >= end) continue;
      const int i = bi * kGramRows;
      const int j = bj * kGramRows;
      const int rows = g.rows - i < kGramRows ? g.rows - i : kGramRows;
      const int columns = g.rows - j < kGramRows ? g.rows - j : kGramRows;
      if (rows == kGramRows && columns == kGramRows) {
        gram_block<kGramRows>(g, i, j);
        continue;
      }
      for (int r = 0; r < rows; ++r) {
        for (int s = 0; s < columns; ++s) gram_block<1>(g, i + r, j + s);
      }
    }
  }
}

}  // namespace trainer::cpu::TRAINER_LOOPS
