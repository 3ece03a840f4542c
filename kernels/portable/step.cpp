// What surrounds the ops of a step: gathering the batch, and the optimisers.
#include <algorithm>
#include <utility>

#include "kernels/portable/ops.hpp"
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

// The memory of Muon's update of one matrix, taken as wide: rows <= columns.
struct MuonLayout {
  int rows = 0, columns = 0;
  float *u = nullptr, *x = nullptr, *next = nullptr;  // [rows, columns]
  float* transposed = nullptr;                        // [columns, rows]
  float *a = nullptr, *b = nullptr;                   // [rows, rows]
  double* squares = nullptr;                          // [rows of the matrix as it is]
};

MuonLayout lay_out(DeviceAllocator& memory, const WeightMatrix& m) {
  MuonLayout p{.rows = std::min(m.rows, m.columns), .columns = std::max(m.rows, m.columns)};
  const auto elements = static_cast<std::size_t>(m.rows) * static_cast<std::size_t>(m.columns);
  const auto square = static_cast<std::size_t>(p.rows) * static_cast<std::size_t>(p.rows);
  for (float** matrix : {&p.u, &p.x, &p.next, &p.transposed})
    *matrix = memory.take<float>(elements + kMostLanes);
  for (float** matrix : {&p.a, &p.b}) *matrix = memory.take<float>(square + kMostLanes);
  p.squares = memory.take<double>(static_cast<std::size_t>(m.rows));
  return p;
}

// One Newton-Schulz iteration: next = a x + (b A + c A A) x, A = x x^T.
void iterate(Executor& executor, const MuonLayout& p) {
  const Rows rows{p.rows};
  const Tile square = executor.tile(p.rows);
  const Tile wide = executor.tile(p.columns);
  executor.run(Transpose{p.rows, p.columns, p.x, p.transposed});
  executor.run(Product{rows, p.columns, p.rows, p.x, p.transposed, p.a, square});
  executor.run(Product{rows, p.rows, p.rows, p.a, p.a, p.b, square, kMuonC, kMuonB, p.a});
  executor.run(Product{rows, p.rows, p.columns, p.b, p.x, p.next, wide, 1, kMuonA, p.x});
}

// Makes x the direction of matrix m.
void find_direction(Executor& executor, const UpdateArgs& args, const WeightMatrix& m, const UpdateStep* now,
                    MuonLayout& p) {
  const Segment& s = m.segment;
  executor.run(MuonDirection{m.rows, m.columns, args.state, now, args.dw + s.offset, args.slot0 + s.offset,
                             p.u, p.squares});
  const bool tall = m.rows > m.columns;
  executor.run(MuonNormalise{m.rows, m.columns, p.squares, p.u, tall ? p.next : p.x});
  if (tall) executor.run(Transpose{m.rows, m.columns, p.next, p.x});
  for (int i = 0; i < (*args.optimizers)[s.optimizer].iterations; ++i) {
    iterate(executor, p);
    std::swap(p.x, p.next);
  }
  if (!tall) return;
  executor.run(Transpose{p.rows, p.columns, p.x, p.next});
  std::swap(p.x, p.next);
}

// The update of a segment along `dw`.
Update update_of(const UpdateArgs& args, const Segment& s, const UpdateStep* now, const float* dw) {
  const Optimizer& optimizer = (*args.optimizers)[s.optimizer];
  const int slots = optimizer_slots(optimizer);
  return {optimizer,
          static_cast<int>(s.count),
          s.rate_factor,
          s.decay,
          args.state,
          now + s.optimizer,
          dw,
          args.w + s.offset,
          slots > 0 ? args.slot0 + s.offset : nullptr,
          slots > 1 ? args.slot1 + s.offset : nullptr};
}

}  // namespace

void gather(Executor& executor, const GatherArgs& args) {
  Gather kernel{args};
  if (args.shape.w == args.stored.w) {  // whole rows lie side by side: one long row
    kernel.args.stored = {1, args.stored.h * args.stored.w, args.stored.c};
    kernel.args.shape = {1, args.shape.h * args.shape.w, args.shape.c};
    kernel.args.left = args.top * args.stored.w;
    kernel.args.top = 0;
  }
  executor.run(kernel);
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
  for (const Segment& s : *args.segments) executor.run(update_of(args, s, now, args.dw + s.offset));
  if (args.matrices != nullptr) {
    for (const WeightMatrix& m : *args.matrices) {
      DeviceAllocator memory(args.workspace);
      MuonLayout p = lay_out(memory, m);
      find_direction(executor, args, m, now + m.segment.optimizer, p);
      Update along = update_of(args, m.segment, now, p.x);
      along.muon_factor = m.factor;
      executor.run(along);
    }
  }
  executor.run(CloseStep{args.state});
}

}  // namespace trainer::portable
