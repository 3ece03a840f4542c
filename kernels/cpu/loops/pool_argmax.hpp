// The maximum and argmax of a pooling window, one channel per lane. With a ReLU after the pool, a maximum that
// is not above 0 becomes 0 and has no argmax.
#pragma once

#include "kernels/cpu/loops/vectors.hpp"
#include "kernels/cpu/runtime/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

template <int kLanes>
struct Maximum {
  typename VectorOf<kLanes>::Float value;
  typename VectorOf<kLanes>::Int argmax;  // row-major index of the first maximum, or kNoArgmax
};

// `at(row, column)` is the value at a position of the window, which has `size` rows and columns.
template <int kLanes, typename At>
HOST_DEVICE Maximum<kLanes> window_maximum(int size, bool relu, const At& at) {
  using Float = typename VectorOf<kLanes>::Float;
  using Int = typename VectorOf<kLanes>::Int;
  Float value = at(0, 0);  // separate variables: GCC would keep a Maximum in memory within the loops
  Int argmax{};
  for (int row = 0, p = 0; row < size; ++row) {
    for (int column = 0; column < size; ++column, ++p) {
      const Float other = at(row, column);
      const auto better = other > value;
      value = better ? other : value;
      argmax = better ? Int{} + p : argmax;
    }
  }
  if (relu) {  // a NaN stays a NaN
    const auto dead = value <= 0;
    value = dead ? Float{} : value;
    argmax = dead ? Int{} + kNoArgmax : argmax;
  }
  return {value, argmax};
}

}  // namespace trainer::cpu::TRAINER_LOOPS
