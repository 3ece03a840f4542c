// The truth that every backend is held against: each op, the gathering of a batch and the optimisers as naive
// loops in double, written from the formulas and from nothing in kernels/ but the descriptions. The gradients
// are themselves held against finite differences in reference_test.cpp. Parameters are canonical, in the
// order of trainer::parameters(desc); tensors are [n, h, w, c].
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/op.hpp"

namespace trainer::reference {

using Values = std::vector<double>;

// All that one op reads and writes, for a whole batch.
struct Tensors {
  int batch = 1;
  int valid = 1;  // rows that hold an image
  Mode mode = Mode::training;
  std::uint64_t seed = 0;  // of dropout
  std::uint64_t step = 0;
  std::uint64_t steps = 1;           // of the whole run, for a selection
  std::vector<std::uint8_t> labels;  // [batch], the head's

  Values x;                        // [batch, in]
  Values dy;                       // [batch, out]; the head makes its own
  std::vector<Values> parameters;  // forward of a training batch normalisation moves the running ones

  Values y;                       // [batch, out]
  Values dx;                      // [batch, in]
  std::vector<Values> gradients;  // of the trained parameters
  Values margin;                  // [batch, out] how far from a kink; see forward
  double loss = 0;                // the head's: sum over the valid rows
  std::uint64_t correct = 0;
  // [batch], 1: the row is backpropagated; empty: all valid ones. The head that selects sets it in training,
  // the others are given it.
  std::vector<std::uint8_t> kept;
};

// Sets y, loss and correct answers. Sets `margin` to the least distance by which y's element would have to move for a
// ReLU to change sign or for a window to have another maximum; infinity where nothing is decided. Exact ties
// do not count: the first of equal maxima wins, and a ReLU lets nothing through at 0.
void forward(const OpDesc& desc, Tensors& t);

// Sets dx and gradients from x, parameters and dy, of which rows that are not kept have none. The head's are
// those of the mean loss of the selected rows.
void backward(const OpDesc& desc, Tensors& t);

// Each op, for forward and backward above.
#define TRAINER_REFERENCE_OP(Name)                      \
  void run_forward(const Name##Desc& desc, Tensors& t); \
  void run_backward(const Name##Desc& desc, Tensors& t);
TRAINER_OPS(TRAINER_REFERENCE_OP)
#undef TRAINER_REFERENCE_OP

}  // namespace trainer::reference
