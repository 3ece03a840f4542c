// What surrounds the ops of a step: gathering the batch, and the optimisers.
#include <algorithm>
#include <utility>

#include "kernels/portable/ops.hpp"
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

// A matrix of Muon's update and its memory, taken as wide: rows <= columns.
struct MuonMatrix {
  const WeightMatrix* matrix = nullptr;
  int rows = 0, columns = 0;
  float *u = nullptr, *x = nullptr, *next = nullptr;  // [rows, columns]
  float* transposed = nullptr;                        // [columns, rows]
  float *a = nullptr, *b = nullptr;                   // [rows, rows]
  double* squares = nullptr;                          // [rows of the matrix as it is]
};

MuonMatrix lay_out(DeviceAllocator& memory, const WeightMatrix& m) {
  MuonMatrix p{.matrix = &m, .rows = std::min(m.rows, m.columns), .columns = std::max(m.rows, m.columns)};
  const auto elements = static_cast<std::size_t>(m.rows) * static_cast<std::size_t>(m.columns);
  const auto square = static_cast<std::size_t>(p.rows) * static_cast<std::size_t>(p.rows);
  for (float** matrix : {&p.u, &p.x, &p.next, &p.transposed})
    *matrix = memory.take<float>(elements + kMostLanes);
  for (float** matrix : {&p.a, &p.b}) *matrix = memory.take<float>(square + kMostLanes);
  p.squares = memory.take<double>(static_cast<std::size_t>(m.rows));
  return p;
}

// Runs the kernel make(p) for each matrix, side by side.
void run_each(Executor& executor, const std::vector<MuonMatrix>& all, const auto& make) {
  std::vector<decltype(make(all.front()))> kernels;
  kernels.reserve(all.size());
  for (const MuonMatrix& p : all) kernels.push_back(make(p));
  executor.run(kernels);
}

// x = x^T of the matrices that are tall, which makes them wide, or tall again.
void turn_tall(Executor& executor, std::vector<MuonMatrix>& all, bool to_wide) {
  std::vector<Transpose> kernels;
  for (MuonMatrix& p : all) {
    if (p.matrix->rows <= p.matrix->columns) continue;
    kernels.push_back({to_wide ? p.columns : p.rows, to_wide ? p.rows : p.columns, p.x, p.next});
    std::swap(p.x, p.next);
  }
  executor.run(kernels);
}

// One Newton-Schulz iteration: next = a x + (b A + c A A) x, A = x x^T.
void iterate(Executor& executor, std::vector<MuonMatrix>& all) {
  const auto tile = [&](int columns) { return executor.tile(columns); };
  run_each(executor, all, [](const auto& p) { return Transpose{p.rows, p.columns, p.x, p.transposed}; });
  run_each(executor, all, [&](const auto& p) {
    return Product{{p.rows}, p.columns, p.rows, p.x, p.transposed, p.a, tile(p.rows)};
  });
  run_each(executor, all, [&](const auto& p) {
    return Product{{p.rows}, p.rows, p.rows, p.a, p.a, p.b, tile(p.rows), kMuonC, kMuonB, p.a};
  });
  run_each(executor, all, [&](const auto& p) {
    return Product{{p.rows}, p.rows, p.columns, p.b, p.x, p.next, tile(p.columns), 1, kMuonA, p.x};
  });
  for (MuonMatrix& p : all) std::swap(p.x, p.next);
}

// Makes x the direction of each matrix.
void find_directions(Executor& executor, const UpdateArgs& args, int iterations, const UpdateStep* now,
                     std::vector<MuonMatrix>& all) {
  run_each(executor, all, [&](const auto& p) {
    const std::uint64_t at = p.matrix->segment.offset;
    return MuonDirection{p.matrix->rows, p.matrix->columns, args.state, now,
                         args.dw + at,   args.slot0 + at,   p.u,        p.squares};
  });
  run_each(executor, all, [&](const auto& p) {
    const int columns = p.matrix->columns;
    return MuonNormalise{p.matrix->rows, columns, p.squares, p.u, p.x, executor.in_turn(columns)};
  });
  turn_tall(executor, all, true);
  for (int i = 0; i < iterations; ++i) iterate(executor, all);
  turn_tall(executor, all, false);
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
  if (args.needs_whole_images()) return executor.run(GatherAugmented{args});
  Gather kernel{args, executor.in_turn(args.shape.h)};
  if (kernel.in_turn > 1 && args.shape.w == args.stored.w) {  // whole rows lie side by side: one long row
    kernel.args.stored = {1, args.stored.h * args.stored.w, args.stored.c};
    kernel.args.shape = {1, args.shape.h * args.shape.w, args.shape.c};
    kernel.args.left = args.top * args.stored.w;
    kernel.args.top = 0;
  }
  executor.run(kernel);
}

std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) {
  return DeviceAllocator::bytes([&](auto& memory) {
    memory.template take<double>(kClipPieces);
    for (const WeightMatrix& matrix : matrices) lay_out(memory, matrix);
  });
}

void update(Executor& executor, const UpdateArgs& args, UpdateStep* now) {
  DeviceAllocator memory(args.workspace);
  auto* squares = memory.take<double>(kClipPieces);
  if (args.clip_norm > 0) executor.run(GradientSquares{static_cast<int>(args.floats), args.dw, squares});
  std::vector<OpenUpdate> openings;
  for (const Optimizer& optimizer : *args.optimizers)
    openings.push_back({optimizer, args.schedule, args.batching, args.state, now + openings.size(),
                        args.clip_norm, squares});
  executor.run(openings);
  std::vector<Update> updates;
  for (const Segment& s : *args.segments) updates.push_back(update_of(args, s, now, args.dw + s.offset));
  for (std::uint32_t i = 0; args.matrices != nullptr && i < args.optimizers->size(); ++i) {
    std::vector<MuonMatrix> all;
    for (const WeightMatrix& m : *args.matrices) {
      if (m.segment.optimizer == i) all.push_back(lay_out(memory, m));
    }
    if (!all.empty()) find_directions(executor, args, (*args.optimizers)[i].iterations, now + i, all);
    for (const MuonMatrix& p : all) {
      updates.push_back(update_of(args, p.matrix->segment, now, p.x));
      updates.back().muon_factor = p.matrix->factor;
    }
  }
  executor.run(updates);
  executor.run(CloseStep{args.state});
}

}  // namespace trainer::portable
