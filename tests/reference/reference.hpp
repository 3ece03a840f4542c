// The ground truth for every backend: each op, the gathering of a batch and the optimisers as naive loops in double,
// written from the formulas and using nothing from kernels/ except the descriptions. reference_test.cpp checks the
// gradients against finite differences. Parameters are canonical, in the order of trainer::parameters(desc); tensors
// are [n, h, w, c].
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
  std::uint64_t seed = 0;  // dropout's seed
  std::uint64_t step = 0;
  std::uint64_t steps = 1;           // of the whole run, for a selection
  std::vector<std::uint8_t> labels;  // [batch], the head's

  Values x;                        // [batch, in]
  Values dy;                       // [batch, out]; the head makes its own
  Values skip;                     // [batch, in], of ResidualDesc
  std::vector<Values> parameters;  // batch normalisation's forward in training updates the running ones

  Values y;                       // [batch, out]
  Values dx;                      // [batch, in]
  std::vector<Values> gradients;  // of the trained parameters
  Values margin;                  // [batch, out] how far from a kink; see forward
  double loss = 0;                // the head's: sum over the valid rows
  std::uint64_t correct = 0;
  // [batch], 1: the row is backpropagated; empty: all valid ones are. In training a head that selects rows sets it; the
  // other ops are given it.
  std::vector<std::uint8_t> kept;
};

// Sets y, loss and correct answers. Sets `margin` to the least distance by which y's element would have to move for a
// ReLU to change sign or for a window to have another maximum; infinity if there is no such decision. Exact ties do not
// count: the first of equal maxima is taken, and a ReLU's gradient at 0 is 0.
void forward(const OpDesc& desc, Tensors& t);

// Sets dx and gradients from x, parameters and dy; rows that are not selected have no dy. The head's gradients are
// those of the mean loss of the selected rows.
void backward(const OpDesc& desc, Tensors& t);

// Each op's functions, which forward and backward above call.
#define TRAINER_REFERENCE_OP(Name)                      \
  void run_forward(const Name##Desc& desc, Tensors& t); \
  void run_backward(const Name##Desc& desc, Tensors& t);
TRAINER_OPS(TRAINER_REFERENCE_OP)
#undef TRAINER_REFERENCE_OP

}  // namespace trainer::reference
