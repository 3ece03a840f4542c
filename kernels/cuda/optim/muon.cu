// Muon (kernels/math/muon.hpp): updates all weights of a network that are taken as matrices, and all other parameters,
// in one launch that ends the step. Its blocks run at the same time, at most one per multiprocessor, and wait for one
// another between the phases:
//   directions  momentum and U, and each block's partial sum of |U|^2
//   gram        A = X X^T
//   polynomial  B = b A + c A A
//   turn        X = a X + B X; in the last iteration, w
// The tiles of all matrices in a phase are divided among the blocks. muon_matrix.cuh describes a matrix's layout in the
// workspace; the first iteration divides by |U| as it reads. A and B are symmetric, so their rows are read as columns.
// Products are in fp32 if the network's are, else in TF32.
#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/block_sum.cuh"
#include "kernels/cuda/device_code/grid_barrier.cuh"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/matmul/implicit_product.cuh"
#include "kernels/cuda/optim/muon_matrix.cuh"
#include "kernels/cuda/optim/update_terms.cuh"
#include "kernels/math/muon.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = kTileThreads;
constexpr unsigned kWarp = 32;
constexpr unsigned kWarps = kThreads / kWarp;
constexpr unsigned kMostMatrices = 16;  // of one launch: they are passed in its arguments

struct MuonParameters {
  UpdateTerms terms;
  Matrix matrices[kMostMatrices];
  unsigned count = 0;
  int most_iterations = 0;
  double* squares = nullptr;  // [matrices, blocks]
  unsigned* barrier = nullptr;
};

// Updates the momentum and writes U to x[0]. Returns this thread's part of |U|^2, in double, which the squares of large
// floats do not overflow.
template <typename T>
__device__ double direction(const UpdateTerms& t, const Matrix& m, const SharedStep& step) {
  const float momentum = step.momentum, scale = step.clip;
  double squares = 0;
  float* momenta = t.slot0 + m.segment.offset;
  const auto load = [&](unsigned i) {
    return float2{stored_gradient<T>(t, m.segment, i, scale), momenta[i]};
  };
  const auto use = [&](unsigned i, float2 of) {
    const float u = muon_direction(momentum, of.x, of.y);
    momenta[i] = of.y;
    const unsigned row = m.by_columns.quotient(i);
    const unsigned column = i - row * m.by_columns.by();
    m.x[0][m.transposed ? column * m.c_pitch + row : row * m.c_pitch + column] = u;
    squares += static_cast<double>(u) * u;
  };
  const unsigned first = blockIdx.x * kThreads + threadIdx.x;
  const auto count = static_cast<unsigned>(m.segment.count);
  for_strided<2>(first, count, gridDim.x * kThreads, load, use);  // loads in a row: 3
  return squares;
}

// Clears the padding of x[0], beyond its columns.
__device__ void pad_lines(const Matrix& m) {
  for (unsigned r = blockIdx.x * kThreads + threadIdx.x; r < m.r; r += gridDim.x * kThreads) {
    for (unsigned c = m.c; c < m.c_pitch; ++c) m.x[0][r * m.c_pitch + c] = 0;
  }
}

template <typename T>
__device__ void directions(const MuonParameters& p, const SharedStep* steps) {
  __shared__ double of_warp[kMostMatrices][kWarps];
  for (unsigned m = 0; m < p.count; ++m) {
    const Matrix& matrix = p.matrices[m];
    pad_lines(matrix);
    const double squares = warp_sum(direction<T>(p.terms, matrix, steps[matrix.segment.optimizer]));
    if (threadIdx.x % kWarp == 0) of_warp[m][threadIdx.x / kWarp] = squares;
  }
  __syncthreads();
  if (threadIdx.x >= p.count) return;
  double sum = 0;
  for (unsigned w = 0; w < kWarps; ++w) sum += of_warp[threadIdx.x][w];
  p.squares[threadIdx.x * gridDim.x + blockIdx.x] = sum;
}

// Computes 1 / (|U| + epsilon) of every matrix, each in one warp.
__device__ void invert_norms(const MuonParameters& p, float* inverse) {
  const unsigned lane = threadIdx.x % kWarp;
  for (unsigned m = threadIdx.x / kWarp; m < p.count; m += kWarps) {
    double sum = 0;
    const auto load = [&](unsigned b) { return p.squares[m * gridDim.x + b]; };
    const auto use = [&](unsigned, double squares) { sum += squares; };
    for_strided<5>(lane, gridDim.x, kWarp, load, use);  // loads in a row: 5
    sum = warp_sum(sum);
    if (lane == 0) inverse[m] = static_cast<float>(1 / (sqrt(sum) + static_cast<double>(kMuonEpsilon)));
  }
  __syncthreads();
}

// Calls visit(matrix number, tile) for this block's part of the [r, r] or [r, c] tiles of all matrices that take part
// in `pass`.
template <typename Visit>
__device__ void for_own_tiles(const MuonParameters& p, int pass, bool square, const Visit& visit) {
  unsigned before = 0;
  for (unsigned m = 0; m < p.count; ++m) {
    const Matrix& matrix = p.matrices[m];
    if (pass >= matrix.iterations) continue;
    const unsigned tiles = tiles_of(matrix.r, square ? matrix.r_pitch : matrix.c_pitch);
    for (unsigned t = (blockIdx.x + gridDim.x - before % gridDim.x) % gridDim.x; t < tiles; t += gridDim.x)
      visit(m, t);
    before += tiles;
  }
}

// Updates weight (i, j) of the [r, c] matrix along x.
template <typename T>
__device__ void move_weight(const UpdateTerms& t, const Matrix& m, float rate, unsigned i, unsigned j,
                            float x) {
  const std::uint64_t in_weight = m.transposed ? std::uint64_t{j} * m.r + i : std::uint64_t{i} * m.c + j;
  const std::uint64_t at = m.segment.offset + in_weight;
  const float w = t.w[at] * (1 - rate * m.segment.decay) - rate * m.factor * x;
  t.w[at] = w;
  if (t.cast_w != nullptr) static_cast<T*>(t.cast_w)[at] = static_cast<T>(w);
}

// The three products of an iteration, one tile each.
template <Factors kFactors>
__device__ void gram_tile(const Matrix& m, const float* x, float scale, unsigned tile, float* memory) {
  const LinesAlongK lines{{x, m.r, m.c_pitch, scale}};
  matrix_tile<kFactors>(
      lines, lines, m.r, m.r_pitch, m.c, tile, memory,
      [&](unsigned i, unsigned j, float sum) { m.a[i * m.r_pitch + j] = j < m.r ? sum : 0; });
}

template <Factors kFactors>
__device__ void polynomial_tile(const Matrix& m, unsigned tile, float* memory) {
  const LinesAlongK lines{{m.a, m.r, m.r_pitch, 1}};
  matrix_tile<kFactors>(lines, lines, m.r, m.r_pitch, m.r, tile, memory,
                        [&](unsigned i, unsigned j, float sum) {
                          const unsigned at = i * m.r_pitch + j;
                          m.b[at] = j < m.r ? kMuonB * m.a[at] + kMuonC * sum : 0;
                        });
}

// Calls store(i, j, x) with an element of the next X.
template <Factors kFactors, typename Store>
__device__ void turn_tile(const Matrix& m, const float* x, float scale, unsigned tile, float* memory,
                          const Store& store) {
  const LinesAlongK b{{m.b, m.r, m.r_pitch, 1}};
  const LinesAcrossK lines{{x, m.r, m.c_pitch, scale}};
  matrix_tile<kFactors>(b, lines, m.r, m.c_pitch, m.r, tile, memory, [&](unsigned i, unsigned j, float sum) {
    store(i, j, kMuonA * scale * x[i * m.c_pitch + j] + sum);
  });
}

// The phases after the directions.
template <Factors kFactors, typename T>
__device__ void update_matrices(const MuonParameters& p, const SharedStep* steps, float* inverse,
                                float* memory) {
  wait_for_grid(p.barrier);
  invert_norms(p, inverse);
  for (int pass = 0; pass < p.most_iterations; ++pass) {
    const auto scale = [&](unsigned m) { return pass == 0 ? inverse[m] : 1.0F; };
    for_own_tiles(p, pass, true, [&](unsigned m, unsigned tile) {
      gram_tile<kFactors>(p.matrices[m], p.matrices[m].x[pass % 2], scale(m), tile, memory);
    });
    wait_for_grid(p.barrier);
    for_own_tiles(p, pass, true,
                  [&](unsigned m, unsigned tile) { polynomial_tile<kFactors>(p.matrices[m], tile, memory); });
    wait_for_grid(p.barrier);
    for_own_tiles(p, pass, false, [&](unsigned m, unsigned tile) {
      const Matrix& matrix = p.matrices[m];
      const float rate = steps[matrix.segment.optimizer].rate * matrix.segment.rate_factor;
      turn_tile<kFactors>(matrix, matrix.x[pass % 2], scale(m), tile, memory,
                          [&](unsigned i, unsigned j, float x) {
                            if (pass + 1 < matrix.iterations) {
                              matrix.x[(pass + 1) % 2][i * matrix.c_pitch + j] = x;
                            } else if (j < matrix.c) {
                              move_weight<T>(p.terms, matrix, rate, i, j, x);
                            }
                          });
    });
    if (pass + 1 < p.most_iterations) wait_for_grid(p.barrier);
  }
}

template <Factors kFactors, typename T>
__global__ void __launch_bounds__(kThreads, 1) muon(const __grid_constant__ MuonParameters p) {
  __shared__ SharedStep steps[kMostOptimizers];
  __shared__ float inverse[kMostMatrices];
  __shared__ float memory[MatrixTile::kMemory];
  const bool frozen = is_frozen(p.terms);
  work_out_steps(p.terms, steps);
  if (!frozen) {
    update_segments<T>(p.terms, steps);
    directions<T>(p, steps);
    update_matrices<kFactors, T>(p, steps, inverse, memory);
  }
  close_step(p.terms);
}

// One block for each tile to turn, at most one per multiprocessor, so that all fit at once.
unsigned block_count(const CudaContext& context, const std::vector<WeightMatrix>& matrices) {
  unsigned tiles = 0;
  for (const WeightMatrix& m : matrices) tiles += tiles_of(extents(m).r, extents(m).c_pitch);
  return std::min(tiles, context.multiprocessors);
}

void launch_muon_kernel(const LaunchQueue& queue, const CudaContext& context, unsigned blocks,
                        const MuonParameters& p) {
  visit_product(context, [&]<Factors kFactors, typename T>(FactorsOf<kFactors>, ElementType<T>) {
    launch(queue, {blocks, kThreads, true}, "muon", muon<kFactors, T>, p);
  });
}

double* take_squares(DeviceAllocator& memory, unsigned blocks) {
  return memory.take<double>(std::size_t{kMostMatrices} * blocks);
}

}  // namespace

std::size_t update_workspace_bytes(const CudaContext& context, const std::vector<WeightMatrix>& matrices) {
  if (matrices.empty()) return kClipBytes;
  const unsigned blocks = block_count(context, matrices);
  launch_muon_kernel({.loads = true}, context, blocks, MuonParameters());
  const std::size_t bytes = DeviceAllocator::bytes([&](auto& memory) {
    take_squares(memory, blocks);
    for (const WeightMatrix& m : matrices) matrix_of(m, Optimizer(), memory);
  });
  return kClipBytes + bytes;
}

void launch_muon(const CudaContext& context, const UpdateArgs& args, const UpdateTerms& terms) {
  const std::vector<WeightMatrix>& matrices = *args.matrices;
  const unsigned blocks = block_count(context, matrices);
  DeviceAllocator memory(args.workspace + kClipBytes);
  MuonParameters p;
  p.terms = terms;
  p.barrier = context.barrier;
  p.squares = take_squares(memory, blocks);
  for (std::size_t done = 0; done < matrices.size(); done += p.count) {
    p.count = static_cast<unsigned>(std::min<std::size_t>(matrices.size() - done, kMostMatrices));
    p.most_iterations = 0;
    for (unsigned m = 0; m < p.count; ++m) {
      const WeightMatrix& matrix = matrices[done + m];
      p.matrices[m] = matrix_of(matrix, (*args.optimizers)[matrix.segment.optimizer], memory);
      p.most_iterations = std::max(p.most_iterations, p.matrices[m].iterations);
    }
    p.terms.segment_count = done == 0 ? terms.segment_count : 0;
    p.terms.closes_step = terms.closes_step && done + p.count == matrices.size();
    launch_muon_kernel(context.stream, context, blocks, p);
  }
}

}  // namespace trainer::cuda
