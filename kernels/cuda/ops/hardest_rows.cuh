// Selects a batch's hardest images, in the last block to arrive: a row is selected if few enough come before it in the
// order of hardness_key(). Instead of sorting, every row is compared with every other, in tiles in shared memory.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/math/selection.hpp"
#include "kernels/math/step_state.hpp"

namespace trainer::cuda {

struct HardestRows {
  Selection selection;
  std::uint64_t steps = 0;            // the whole run's
  std::uint64_t* hardness = nullptr;  // [batch], the rows' keys; null: all valid rows are selected
  std::uint8_t* kept = nullptr;       // [batch]

  // The number of rows that a step's gradient is the mean of.
  __device__ unsigned count(const StepState& state) const {
    return hardness == nullptr ? state.valid_of_all()
                               : selected_rows(selection, state.step, steps, state.valid_of_all());
  }
};

// Writes `kept` and clears the unselected rows of dz [batch, classes]. All kThreads threads call it; the keys come from
// other blocks.
template <unsigned kThreads>
static __device__ void select_hardest(const HardestRows& rows, const StepState& state, unsigned batch,
                                      unsigned classes, float* dz) {
  __shared__ std::uint64_t keys[kThreads];
  const unsigned valid = state.valid;
  const unsigned count = rows.count(state);
  for (unsigned first = 0; first < batch; first += kThreads) {
    const unsigned row = first + threadIdx.x;
    const std::uint64_t own = row < valid ? __ldcg(rows.hardness + row) : 0;
    unsigned before = 0;
    for (unsigned other = 0; other < valid && count < valid; other += kThreads) {
      __syncthreads();
      if (other + threadIdx.x < valid) keys[threadIdx.x] = __ldcg(rows.hardness + other + threadIdx.x);
      __syncthreads();
      const unsigned there = min(kThreads, valid - other);
      for (unsigned i = 0; i < there; ++i) before += keys[i] < own ? 1 : 0;
    }
    const bool keeps = row < valid && before < count;
    if (row < batch) rows.kept[row] = keeps ? 1 : 0;
    if (keeps || row >= valid) continue;
    for (unsigned j = 0; j < classes; ++j) dz[std::size_t{row} * classes + j] = 0;
  }
}

// The same on one of several ranks: rows.hardness [rows of all ranks] is complete, and row i of this rank is at
// state.first_row + i there. A warp selects one row.
static __device__ void select_among_all(const HardestRows& rows, const StepState& state, unsigned row,
                                        unsigned classes, float* dz) {
  constexpr unsigned kLanes = 32;
  const unsigned lane = threadIdx.x % kLanes;
  const bool is_valid = row < state.valid;
  const std::uint64_t own = rows.hardness[state.first_row + row];
  unsigned before = 0;
  const auto load = [&](unsigned other) { return rows.hardness[other]; };
  const auto use = [&](unsigned, std::uint64_t key) { before += key < own ? 1 : 0; };
  for_strided<8>(lane, state.valid_of_all(), kLanes, load, use);  // loads in a row: 5
  for (unsigned other = kLanes / 2; other > 0; other /= 2) before += __shfl_xor_sync(~0U, before, other);
  const bool keeps = is_valid && before < rows.count(state);
  if (lane == 0) rows.kept[row] = keeps ? 1 : 0;
  for (unsigned j = lane; j < classes && is_valid && !keeps; j += kLanes)
    dz[std::size_t{row} * classes + j] = 0;
}

}  // namespace trainer::cuda
