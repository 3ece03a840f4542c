// How a kernel of the portable engine divides its work. A kernel is a struct of its arguments with
//   units()             how many units of work there are, in up to three dimensions
//   unit(i, j, k)       one of them, which needs no other; without k or j, if there are fewer dimensions
// A kernel whose outputs lie side by side has a `tile`: unit<L> computes L of them as one vector, and unit<L, V> computes V such
// vectors, so that a value which all of them need is read once. On a GPU both are 1.
#pragma once

#include "kernels/math/host_device.hpp"

namespace trainer::portable {

struct Units {
  int outer = 1;
  int middle = 1;
  int inner = 1;
  int work = 1;  // about how many operations one unit takes
};

struct Tile {
  int lanes = 1;
  int vectors = 1;
  HOST_DEVICE int width() const { return lanes * vectors; }
};

HOST_DEVICE int pieces(int count, int size) {
  return (count + size - 1) / size;
}

template <int L, int V, typename Kernel>
HOST_DEVICE void run_unit(const Kernel& kernel, int i, int j, int k) {
#define TRAINER_UNIT(...) constexpr(requires { kernel.__VA_ARGS__; }) kernel.__VA_ARGS__
  // clang-format off
  if TRAINER_UNIT(template unit<L, V>(i, j, k));
  else if TRAINER_UNIT(template unit<L, V>(i, j));
  else if TRAINER_UNIT(template unit<L>(i, j, k));
  else if TRAINER_UNIT(template unit<L>(i, j));
  else if TRAINER_UNIT(template unit<L>(i));
  else if TRAINER_UNIT(unit(i, j));
  else kernel.unit(i);
    // clang-format on
#undef TRAINER_UNIT
}

}  // namespace trainer::portable
