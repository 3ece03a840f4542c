// Gradient clipping (Pascanu et al. 2013, "On the difficulty of training recurrent neural networks"): if the Euclidean norm of all
// gradients together exceeds a limit, each is multiplied by limit / norm. It is torch.nn.utils.clip_grad_norm_ without the 1e-6 that
// is added to the norm there. Squares are added in double, which those of floats do not overflow; if a gradient is not finite, nothing is
// clipped, so that the loss shows it.
#pragma once

#include "kernels/math/division.hpp"

namespace trainer {

// Of gradients whose squares have the sum `squares`; exactly 1 within the limit.
HOST_DEVICE float clip_factor(double squares, float limit) {
  const double norm = exact_root(squares);
  const bool clips = norm > static_cast<double>(limit) && norm - norm == 0;
  return clips ? static_cast<float>(exact_quotient(static_cast<double>(limit), norm)) : 1.0F;
}

}  // namespace trainer
