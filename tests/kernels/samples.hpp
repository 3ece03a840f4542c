// Inputs for an op's tests. Every value is exact in float, so that a backend and the reference start from the same
// numbers, which are also the same on every machine (no std::*_distribution, whose results are unspecified).
#pragma once

#include "tests/reference/reference.hpp"

namespace trainer {

enum class SampleKind {
  smooth,  // uniform, no two alike: decisions (maxima, signs) are clear after drop_undecided
  grid,    // multiples of 1/8: float sums of them are exact, so equal maxima are equal everywhere
};

// x, dy (rows beyond `valid` zero), labels, parameters sized so that y is of order 1, step, seed.
reference::Tensors sample_tensors(const OpDesc& desc, int batch, int valid, SampleKind kind);

// Sets dy to 0 where y lies within `distance` of a kink, since rounding may decide either way there. Call it after
// reference::forward.
void drop_undecided(double distance, reference::Tensors& t);

}  // namespace trainer
