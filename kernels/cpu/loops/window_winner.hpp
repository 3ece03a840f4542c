// The argmax of a pool's window among outputs that are at hand in registers: the largest value of each lane
// and which one it is; ReLU stops what is not above 0.
#pragma once

#include "kernels/cpu/loops/vectors.hpp"
#include "kernels/cpu/runtime/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

template <int kLanes>
struct Winner {
  typename VectorOf<kLanes>::Float value;
  typename VectorOf<kLanes>::Int index;  // of the first of equal ones, or kNoWinner
};

// `at(p)` is the output at position p of `positions`, row by row.
template <int kLanes, typename At>
HOST_DEVICE Winner<kLanes> winner_of(int positions, bool relu, const At& at) {
  using Float = typename VectorOf<kLanes>::Float;
  using Int = typename VectorOf<kLanes>::Int;
  Winner<kLanes> best{at(0), Int{}};
  for (int p = 1; p < positions; ++p) {
    const Float other = at(p);
    const auto better = other > best.value;
    best.value = better ? other : best.value;
    best.index = better ? Int{} + p : best.index;
  }
  if (relu) {  // a NaN passes
    const auto dead = best.value <= 0;
    best.value = dead ? Float{} : best.value;
    best.index = dead ? Int{} + kNoWinner : best.index;
  }
  return best;
}

}  // namespace trainer::cpu::TRAINER_LOOPS
