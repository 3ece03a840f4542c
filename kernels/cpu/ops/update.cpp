// The update of a step: the optimisers of single elements, and Muon. A small matrix is one item; the products of a large one are cut
// by rows, with three waits an iteration. A tall matrix is transposed. Clipping, one wait more, scales the gradients in place.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/math/clipping.hpp"
#include "kernels/math/muon.hpp"

namespace trainer::cpu {

namespace {

constexpr std::size_t kSmallProduct = 1 << 16;  // multiplications: a matrix of fewer is one item
constexpr int kMatrixParts = 8;                 // parts that a product is cut into
constexpr std::size_t kMostParts = 32;          // parts that a segment is cut into
constexpr int kRowBlock = 8;                    // rows that the loops compute together

// What one thread finds out before the update: whether there is one, and the rates of the step.
struct Now {
  bool updates = false;
  std::array<UpdateStep, kMostOptimizers> steps{};
};

struct Matrix {
  WeightMatrix weight;
  Optimizer optimizer;
  int rows = 0, columns = 0;            // taken as wide: rows <= columns
  float* stored = nullptr;              // [count], in the op's layout
  float *x = nullptr, *next = nullptr;  // [rows, columns]
  float *a = nullptr, *b = nullptr;     // [rows, rows]

  std::size_t elements() const { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns); }
  bool is_small() const { return elements() * static_cast<std::size_t>(rows) <= kSmallProduct; }
};

Matrix lay_out(HostAllocator& memory, const WeightMatrix& m) {
  Matrix p{.weight = m,
           .optimizer = {},
           .rows = std::min(m.rows, m.columns),
           .columns = std::max(m.rows, m.columns)};
  const auto square = static_cast<std::size_t>(p.rows) * static_cast<std::size_t>(p.rows);
  p.stored = memory.take<float>(m.segment.count);
  for (float** array : {&p.x, &p.next}) *array = memory.take<float>(p.elements());
  for (float** array : {&p.a, &p.b}) *array = memory.take<float>(square);
  return p;
}

// In double, so that the squares of large floats do not overflow.
double sum_of_squares(const float* x, std::size_t count) {
  constexpr std::size_t kSums = 8;
  double sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::size_t j = 0; j < kSums; ++j) sums[j] += static_cast<double>(x[i + j]) * x[i + j];
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(x[i]) * x[i];
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

// x / (|x| + epsilon)
void normalize(float* x, std::size_t count) {
  const double inverse = 1 / (std::sqrt(sum_of_squares(x, count)) + static_cast<double>(kMuonEpsilon));
  for (std::size_t i = 0; i < count; ++i) x[i] = static_cast<float>(x[i] * inverse);
}

void transpose(const float* from, int rows, int columns, float* to) {
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
  }
}

// x = x^T of a matrix that is tall; the other array is overwritten.
void turn(const Matrix& p, float* from, float* other, bool to_wide) {
  if (p.weight.rows <= p.weight.columns) return;
  transpose(from, to_wide ? p.columns : p.rows, to_wide ? p.rows : p.columns, other);
  std::copy_n(other, p.elements(), from);
}

void scale(float* x, std::size_t count, float factor) {
  for (std::size_t i = 0; factor != 1 && i < count; ++i) x[i] *= factor;
}

// Makes p.x the normalised direction, as wide.
void begin(const Loops& loops, const UpdateArgs& args, const UpdateStep& step, const Matrix& p) {
  const Segment& s = p.weight.segment;
  scale(args.dw + s.offset, s.count, step.clip);
  loops.muon_direction(step.momentum, args.dw + s.offset, args.slot0 + s.offset, p.stored, s.count);
  p.weight.op->fetch(0, p.stored, p.x);
  normalize(p.x, p.elements());
  turn(p, p.x, p.next, true);
}

// The three products of a Newton-Schulz iteration on p.x; part `part` of `parts` of each. The result of the last is in p.next.
int cut(int count, int block, int part, int parts) {
  const int blocks = (count + block - 1) / block;
  return std::min(blocks * part / parts * block, count);
}
void multiply(const Loops& loops, const ProductLoop& product, int rows, int part, int parts) {
  loops.product(product, cut(rows, kRowBlock, part, parts), cut(rows, kRowBlock, part + 1, parts));
}
void iterate(const Loops& loops, const Matrix& p, int product, int part, int parts) {
  if (product == 0) {
    const int blocks = gram_blocks(p.rows);
    loops.gram({p.rows, p.columns, p.x, p.a}, cut(blocks, 1, part, parts), cut(blocks, 1, part + 1, parts));
  } else if (product == 1) {
    multiply(loops, {p.rows, p.rows, kMuonC, kMuonB, p.a, p.a, p.a, p.b}, p.rows, part, parts);
  } else {
    multiply(loops, {p.rows, p.columns, 1, kMuonA, p.b, p.x, p.x, p.next}, p.rows, part, parts);
  }
}
constexpr int kProducts = 3;

void end(const UpdateArgs& args, const UpdateStep& step, const Matrix& p) {
  const Segment& s = p.weight.segment;
  turn(p, p.x, p.next, false);
  p.weight.op->store(0, p.x, p.stored);
  const float rate = step.rate * s.rate_factor;
  const float keep = 1 - rate * s.decay;
  float* w = args.w + s.offset;
  for (std::size_t i = 0; i < s.count; ++i) w[i] = w[i] * keep - rate * p.weight.factor * p.stored[i];
}

void update_small(const Loops& loops, const UpdateArgs& args, const UpdateStep& step, Matrix p) {
  begin(loops, args, step, p);
  for (int i = 0; i < p.optimizer.iterations; ++i) {
    for (int product = 0; product < kProducts; ++product) iterate(loops, p, product, 0, 1);
    std::swap(p.x, p.next);
  }
  end(args, step, p);
}

Now open_update(const UpdateArgs& args, const std::vector<Optimizer>& optimizers, double squares) {
  StepState& state = *args.state;
  if (!std::isfinite(state.batch_loss) && state.first_bad_step == kNoBadStep)
    state.first_bad_step = state.step;
  Now now{.updates = state.first_bad_step == kNoBadStep};
  const std::uint64_t epoch = epoch_of(args.batching, state.step);
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    now.steps[i] = update_step(optimizers[i], args.schedule, state.step, epoch);
    if (args.clip_norm > 0) now.steps[i].clip = clip_factor(squares, args.clip_norm);
  }
  return now;
}

// Appends what fills `now`; to clip, it adds up the squares of parts of the gradients first.
void append_opening(Stream& stream, const UpdateArgs& args, const std::shared_ptr<Now>& now) {
  const auto squares = std::make_shared<std::array<double, kMostParts>>();
  stream.close();
  if (args.clip_norm > 0) {
    stream.phase(kMostParts, [=](int item, int /*worker*/) {
      const Part part = part_of(args.floats, args.floats / kMostParts + 1, static_cast<std::size_t>(item));
      if (part.begin < part.end)
        squares->at(item) = sum_of_squares(args.dw + part.begin, part.end - part.begin);
    });
  }
  stream.serial([args, now, squares, optimizers = *args.optimizers] {
    *now = open_update(args, optimizers, std::accumulate(squares->begin(), squares->end(), 0.0));
  });
}

}  // namespace

std::size_t update_workspace_bytes_of(const std::vector<WeightMatrix>& matrices) {
  return HostAllocator::bytes([&](auto& memory) {
    for (const WeightMatrix& matrix : matrices) lay_out(memory, matrix);
  });
}

void append_update(const CpuContext& context, const UpdateArgs& args) {
  Stream& stream = context.stream;
  const Loops& loops = context.loops;
  const auto now = std::make_shared<Now>();
  append_opening(stream, args, now);
  // Appends a phase of works, whose tasks are left out if there is no update.
  const auto task = [now](auto body) -> Task {
    return [now, body](int item, int /*worker*/) {
      if (now->updates) body(item);
    };
  };
  std::vector<Work> first;
  std::vector<Matrix> large;
  HostAllocator memory(args.workspace);
  for (std::size_t i = 0; args.matrices != nullptr && i < args.matrices->size(); ++i) {
    Matrix p = lay_out(memory, (*args.matrices)[i]);
    const std::uint32_t which = p.weight.segment.optimizer;
    p.optimizer = (*args.optimizers)[which];
    if (!p.is_small()) large.push_back(p);
    first.push_back({1, {task([=, &loops](int) {
                       p.is_small() ? update_small(loops, args, now->steps[which], p)
                                    : begin(loops, args, now->steps[which], p);
                     })}});
  }
  for (const Segment& segment : *args.segments) {
    const Optimizer optimizer = (*args.optimizers)[segment.optimizer];
    const std::size_t grain = std::max(kElementGrain, segment.count / kMostParts);
    first.push_back({parts_of(segment.count, grain), {task([=, &loops](int item) {
                       const Part part = part_of(segment.count, grain, static_cast<std::size_t>(item));
                       scale(args.dw + segment.offset + part.begin, part.end - part.begin,
                             now->steps[segment.optimizer].clip);
                       loops.update(args, segment, optimizer, now->steps[segment.optimizer], part.begin,
                                    part.end);
                     })}});
  }
  stream.phase(std::move(first));
  for (int i = 0;; ++i) {
    std::vector<Matrix*> left;
    for (Matrix& p : large)
      if (i < p.optimizer.iterations) left.push_back(&p);
    if (left.empty()) break;
    for (int product = 0; product < kProducts; ++product) {
      std::vector<Work> works;
      works.reserve(left.size());
      for (const Matrix* p : left)
        works.push_back({kMatrixParts, {task([=, &loops, p = *p](int part) {
                           iterate(loops, p, product, part, kMatrixParts);
                         })}});
      stream.phase(std::move(works));
    }
    for (Matrix* p : left) std::swap(p->x, p->next);
  }
  std::vector<Work> last;
  last.reserve(large.size());
  for (const Matrix& p : large)
    last.push_back({1, {task([=](int) { end(args, now->steps[p.weight.segment.optimizer], p); })}});
  if (!last.empty()) stream.phase(std::move(last));
  stream.end_step();
  stream.serial([state = args.state] { ++state->step; });
}

void append_average(const CpuContext& context, const AverageArgs& args) {
  const std::size_t grain = std::max(kElementGrain, args.count / kMostParts);
  context.stream.phase(parts_of(args.count, grain), [=, loop = context.loops.average](int item, int) {
    const Part part = part_of(args.count, grain, static_cast<std::size_t>(item));
    if (args.moves()) loop(args, part.begin, part.end);
  });
  context.stream.end_step();
}

}  // namespace trainer::cpu
