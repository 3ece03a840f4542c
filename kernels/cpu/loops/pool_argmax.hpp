// The maximum and argmax of a pool's window, a channel in each lane; a ReLU behind the pool stops what is not
// above 0.
#pragma once

#include "kernels/cpu/loops/vectors.hpp"
#include "kernels/cpu/runtime/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

template <int kLanes>
struct Maximum {
  typename VectorOf<kLanes>::Float value;
  typename VectorOf<kLanes>::Int argmax;  // row-major, of the first of equal ones, or kNoArgmax
};

// `at(row, column)` is the value at a position of the window, which has `size` rows and columns.
template <int kLanes, typename At>
HOST_DEVICE Maximum<kLanes> window_maximum(int size, bool relu, const At& at) {
  using Float = typename VectorOf<kLanes>::Float;
  using Int = typename VectorOf<kLanes>::Int;
  Maximum<kLanes> best{at(0, 0), Int{}};
  for (int row = 0, p = 0; row < size; ++row) {
    for (int column = 0; column < size; ++column, ++p) {
      const Float other = at(row, column);
      const auto better = other > best.value;
      best.value = better ? other : best.value;
      best.argmax = better ? Int{} + p : best.argmax;
    }
  }
  if (relu) {  // a NaN passes
    const auto dead = best.value <= 0;
    best.value = dead ? Float{} : best.value;
    best.argmax = dead ? Int{} + kNoArgmax : best.argmax;
  }
  return best;
}

}  // namespace trainer::cpu::TRAINER_LOOPS
