// A weight that Muon takes as a matrix, as it lies in the workspace: [r, c] with r <= c, transposed where it
// has more rows than columns, its lines padded with zeros to whole quads.
#pragma once

#include <algorithm>

#include "kernels/backend.hpp"
#include "kernels/bump_allocator.hpp"
#include "kernels/math/divider.hpp"

namespace trainer::cuda {

struct Matrix {
  Segment segment;
  Divider by_columns;  // of the weight
  unsigned r = 1, c = 1;
  unsigned r_pitch = 4, c_pitch = 4;  // of lines with so many columns
  bool transposed = false;
  int iterations = 0;
  float factor = 1;
  float* x[2] = {};  // [r, c_pitch], in turn
  float* a = nullptr;
  float* b = nullptr;  // [r, r_pitch]
};

struct Extents {
  unsigned r, c, r_pitch, c_pitch;
};

inline Extents extents(const WeightMatrix& m) {
  const auto r = static_cast<unsigned>(std::min(m.rows, m.columns));
  const auto c = static_cast<unsigned>(std::max(m.rows, m.columns));
  const unsigned r_pitch = (r + 3) / 4 * 4;
  const unsigned c_pitch = (c + 3) / 4 * 4;
  return {r, c, r_pitch, c_pitch};
}

inline Matrix matrix_of(const WeightMatrix& m, const Optimizer& optimizer, DeviceAllocator& memory) {
  const Extents e = extents(m);
  Matrix matrix;
  matrix.segment = m.segment;
  matrix.by_columns = Divider(static_cast<unsigned>(m.columns));
  matrix.r = e.r;
  matrix.c = e.c;
  matrix.r_pitch = e.r_pitch;
  matrix.c_pitch = e.c_pitch;
  matrix.transposed = m.rows > m.columns;
  matrix.iterations = optimizer.iterations;
  matrix.factor = m.factor;
  for (float*& x : matrix.x) x = memory.take<float>(std::size_t{e.r} * e.c_pitch);
  matrix.a = memory.take<float>(std::size_t{e.r} * e.r_pitch);
  matrix.b = memory.take<float>(std::size_t{e.r} * e.r_pitch);
  return matrix;
}

}  // namespace trainer::cuda
