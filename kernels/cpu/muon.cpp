// Muon with oneDNN's products. The matrix is brought from the op's layout into rows and columns and back, where
// 0 between its elements stays 0.
#include "kernels/cpu/muon.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/math/muon.hpp"

namespace trainer::cpu {

namespace {

struct Pieces {
  float* stored;    // [count], in the op's layout
  float *x, *next;  // [rows, columns]
  float *a, *b;     // [r, r], r the smaller of the two
};

Pieces carve(Carver& carver, const WeightMatrix& m) {
  const auto elements = static_cast<std::size_t>(m.rows) * static_cast<std::size_t>(m.columns);
  const auto r = static_cast<std::size_t>(std::min(m.rows, m.columns));
  Pieces p{};
  p.stored = carver.floats(m.segment.count);
  p.x = carver.floats(elements);
  p.next = carver.floats(elements);
  p.a = carver.floats(r * r);
  p.b = carver.floats(r * r);
  return p;
}

// x / (|x| + epsilon). In double: the squares of a float's largest values have room.
void normalize(float* x, std::size_t count) {
  constexpr std::size_t kSums = 8;
  double sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::size_t j = 0; j < kSums; ++j) sums[j] += static_cast<double>(x[i + j]) * x[i + j];
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(x[i]) * x[i];
  double total = 0;
  for (const double sum : sums) total += sum;
  const double inverse = 1 / (std::sqrt(total) + static_cast<double>(kMuonEpsilon));
  for (i = 0; i < count; ++i) x[i] = static_cast<float>(x[i] * inverse);
}

// c = alpha a b + beta c, each row by row; a is [m, k], or [k, m] where it is transposed, and so on.
void product(char transposed_a, char transposed_b, int m, int n, int k, float alpha, const float* a,
             const float* b, float beta, float* c) {
  const int a_row = transposed_a == 'N' ? k : m;
  const int b_row = transposed_b == 'N' ? n : k;
  dnnl::sgemm(transposed_a, transposed_b, m, n, k, alpha, a, a_row, b, b_row, beta, c, n);
}

// One pass of Newton and Schulz; the result is in p.next.
void pass(const Pieces& p, int rows, int columns) {
  const bool wide = rows <= columns;
  const int r = wide ? rows : columns;
  if (wide) {
    product('N', 'T', r, r, columns, 1, p.x, p.x, 0, p.a);
  } else {
    product('T', 'N', r, r, rows, 1, p.x, p.x, 0, p.a);
  }
  std::copy_n(p.a, static_cast<std::size_t>(r) * static_cast<std::size_t>(r), p.b);
  product('N', 'N', r, r, r, kMuonC, p.a, p.a, kMuonB, p.b);
  std::copy_n(p.x, static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns), p.next);
  if (wide) {
    product('N', 'N', rows, columns, r, 1, p.b, p.x, kMuonA, p.next);
  } else {
    product('N', 'N', rows, columns, r, 1, p.x, p.b, kMuonA, p.next);
  }
}

}  // namespace

std::size_t muon_workspace_bytes(const std::vector<WeightMatrix>& matrices) {
  std::size_t most = 0;
  for (const WeightMatrix& matrix : matrices) {
    Carver carver(nullptr);
    carve(carver, matrix);
    most = std::max(most, carver.used());
  }
  return most;
}

void update_matrix(const CpuContext& context, const UpdateArgs& args, const Optimizer& optimizer,
                   const UpdateStep& step, const WeightMatrix& matrix) {
  const Segment& s = matrix.segment;
  Carver carver(args.workspace);
  Pieces p = carve(carver, matrix);
  context.loops.muon_direction(step.momentum, args.dw + s.offset, args.slot0 + s.offset, p.stored, s.count);
  matrix.op->fetch(0, p.stored, p.x);
  normalize(p.x, static_cast<std::size_t>(matrix.rows) * static_cast<std::size_t>(matrix.columns));
  for (int i = 0; i < optimizer.passes; ++i) {
    pass(p, matrix.rows, matrix.columns);
    std::swap(p.x, p.next);
  }
  matrix.op->store(0, p.x, p.stored);
  const float rate = step.rate * s.rate_factor;
  const float keep = 1 - rate * s.decay;
  float* w = args.w + s.offset;
  for (std::size_t i = 0; i < s.count; ++i) w[i] = w[i] * keep - rate * matrix.factor * p.stored[i];
}

}  // namespace trainer::cpu
