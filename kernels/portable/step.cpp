// What surrounds the ops of a step: gathering the batch, and the optimisers.
#include <algorithm>
#include <utility>

#include "kernels/portable/ops.hpp"
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

// The memory of Muon's update of one matrix, taken as wide: rows <= columns.
struct MuonLayout {
  int rows, columns;
  float *u, *x, *next;  // [rows, columns]
  float* transposed;    // [columns, rows]
  float *a, *b;         // [rows, rows]
  double* squares;      // [rows of the matrix as it is]
};

MuonLayout lay_out(DeviceAllocator& memory, const WeightMatrix& m) {
  const auto elements = static_cast<std::size_t>(m.rows) * static_cast<std::size_t>(m.columns);
  MuonLayout p{};
  p.rows = m.rows < m.columns ? m.rows : m.columns;
  p.columns = m.rows < m.columns ? m.columns : m.rows;
  const auto r = static_cast<std::size_t>(p.rows);
  for (float** matrix : {&p.u, &p.x, &p.next, &p.transposed})
    *matrix = memory.take<float>(elements + kMostLanes);
  for (float** square : {&p.a, &p.b}) *square = memory.take<float>(r * r + kMostLanes);
  p.squares = memory.take<double>(static_cast<std::size_t>(m.rows));
  return p;
}

// One Newton-Schulz iteration: next = a x + (b A + c A A) x, A = x x^T.
void iterate(Executor& executor, const MuonLayout& p) {
  const Rows rows{p.rows};
  const Tile square = executor.tile(p.rows);
  const Tile wide = executor.tile(p.columns);
  executor.run(Transpose{p.x, p.rows, p.columns, p.transposed, p.rows});
  executor.run(Product{rows, p.columns, p.rows, p.x, p.transposed, p.rows, p.a, square});
  executor.run(Product{rows, p.rows, p.rows, p.a, p.a, p.rows, p.b, square, kMuonC, kMuonB, p.a});
  executor.run(Product{rows, p.rows, p.columns, p.b, p.x, p.columns, p.next, wide, 1, kMuonA, p.x});
}

void update_matrix(Executor& executor, const UpdateArgs& args, const WeightMatrix& m, const UpdateStep* now) {
  const Segment& s = m.segment;
  DeviceAllocator memory(args.workspace);
  const auto count = static_cast<int>(s.count);
  MuonLayout p = lay_out(memory, m);
  executor.run(MuonDirection{count, args.state, now, args.dw + s.offset, args.slot0 + s.offset, p.u});
  executor.run(MuonSquares{m.rows, m.columns, p.u, p.squares});
  const bool tall = m.rows > m.columns;
  executor.run(MuonNormalise{m.rows, m.columns, p.squares, p.u, tall ? p.next : p.x});
  if (tall) executor.run(Transpose{p.next, m.rows, m.columns, p.x, m.rows});
  for (int i = 0; i < (*args.optimizers)[s.optimizer].iterations; ++i) {
    iterate(executor, p);
    std::swap(p.x, p.next);
  }
  if (tall) {
    executor.run(Transpose{p.x, p.rows, p.columns, p.next, p.rows});
    std::swap(p.x, p.next);
  }
  executor.run(MuonApply{count, s.rate_factor, s.decay, m.factor, args.state, now, p.x, args.w + s.offset});
}

}  // namespace

void gather(Executor& executor, const GatherArgs& args) {
  executor.run(OpenStep{args.batching, args.state});
  executor.run(Gather{args.batching, args.stored, args.shape, args.top, args.left, args.scale, args.shift,
                      args.images, args.stored_labels, floats(args.x), args.labels, args.state});
}

std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) {
  std::size_t most = 0;
  for (const WeightMatrix& matrix : matrices)
    most = std::max(most, DeviceAllocator::bytes([&](auto& memory) { lay_out(memory, matrix); }));
  return most;
}

void update(Executor& executor, const UpdateArgs& args, UpdateStep* now) {
  for (std::size_t i = 0; i < args.optimizers->size(); ++i)
    executor.run(OpenUpdate{(*args.optimizers)[i], args.schedule, args.batching, args.state, now + i});
  for (const Segment& s : *args.segments) {
    const Optimizer& optimizer = (*args.optimizers)[s.optimizer];
    const int slots = optimizer_slots(optimizer);
    executor.run(Update{optimizer, static_cast<int>(s.count), s.rate_factor, s.decay, args.state,
                        now + s.optimizer, args.dw + s.offset, args.w + s.offset,
                        slots > 0 ? args.slot0 + s.offset : nullptr,
                        slots > 1 ? args.slot1 + s.offset : nullptr});
  }
  if (args.matrices != nullptr) {
    for (const WeightMatrix& matrix : *args.matrices)
      update_matrix(executor, args, matrix, now + matrix.segment.optimizer);
  }
  executor.run(CloseStep{args.state});
}

}  // namespace trainer::portable
