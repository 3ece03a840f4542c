// Muon. The matrix is converted from the op's layout to a row-major one and back; a tall one is transposed.
#include "kernels/math/muon.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/cpu/runtime/context.hpp"

namespace trainer::cpu {

namespace {

constexpr std::size_t kRowGrain = 32;  // fewest rows of a product per thread; a multiple of its row blocks

struct Layout {
  float* stored;    // [count], in the op's layout
  float *x, *next;  // [rows, columns]
  float *a, *b;     // [r, r], r = min(rows, columns)
};

Layout lay_out(HostAllocator& memory, const WeightMatrix& m) {
  const auto elements = static_cast<std::size_t>(m.rows) * static_cast<std::size_t>(m.columns);
  const auto r = static_cast<std::size_t>(std::min(m.rows, m.columns));
  Layout p{};
  p.stored = memory.take<float>(m.segment.count);
  p.x = memory.take<float>(elements);
  p.next = memory.take<float>(elements);
  p.a = memory.take<float>(r * r);
  p.b = memory.take<float>(r * r);
  return p;
}

// x / (|x| + epsilon), computed in double, so that the squares of large floats do not overflow.
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

void transpose(const float* from, int rows, int columns, float* to) {
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
  }
}

// One Newton-Schulz iteration on p.x [rows, columns], rows <= columns; the result is in p.next.
void pass(const CpuContext& context, const Layout& p, int rows, int columns) {
  const auto product = [&](const ProductLoop& loop) {
    parallel(static_cast<std::size_t>(rows), kRowGrain, context.threads, [&](const Range& range) {
      context.loops.product(loop, static_cast<int>(range.begin), static_cast<int>(range.end));
    });
  };
  const auto blocks = static_cast<std::size_t>(gram_blocks(rows));
  parallel(blocks, kRowGrain, context.threads, [&](const Range& range) {
    context.loops.gram({rows, columns, p.x, p.a}, static_cast<int>(range.begin), static_cast<int>(range.end));
  });
  product({rows, rows, kMuonC, kMuonB, p.a, p.a, p.a, p.b});
  product({rows, columns, 1, kMuonA, p.b, p.x, p.x, p.next});
}

}  // namespace

std::size_t muon_workspace_bytes(const std::vector<WeightMatrix>& matrices) {
  std::size_t most = 0;
  for (const WeightMatrix& matrix : matrices)
    most = std::max(most, HostAllocator::bytes([&](auto& memory) { lay_out(memory, matrix); }));
  return most;
}

void update_matrix(const CpuContext& context, const UpdateArgs& args, const Optimizer& optimizer,
                   const UpdateStep& step, const WeightMatrix& matrix) {
  const Segment& s = matrix.segment;
  HostAllocator memory(args.workspace);
  Layout p = lay_out(memory, matrix);
  context.loops.muon_direction(step.momentum, args.dw + s.offset, args.slot0 + s.offset, p.stored, s.count);
  matrix.op->fetch(0, p.stored, p.x);
  normalize(p.x, static_cast<std::size_t>(matrix.rows) * static_cast<std::size_t>(matrix.columns));
  const bool tall = matrix.rows > matrix.columns;
  const int rows = tall ? matrix.columns : matrix.rows;
  const int columns = tall ? matrix.rows : matrix.columns;
  const auto turn = [&](int from_rows, int from_columns) {
    transpose(p.x, from_rows, from_columns, p.next);
    std::swap(p.x, p.next);
  };
  if (tall) turn(columns, rows);
  for (int i = 0; i < optimizer.iterations; ++i) {
    pass(context, p, rows, columns);
    std::swap(p.x, p.next);
  }
  if (tall) turn(rows, columns);
  matrix.op->store(0, p.x, p.stored);
  const float rate = step.rate * s.rate_factor;
  const float keep = 1 - rate * s.decay;
  float* w = args.w + s.offset;
  for (std::size_t i = 0; i < s.count; ++i) w[i] = w[i] * keep - rate * matrix.factor * p.stored[i];
}

}  // namespace trainer::cpu
