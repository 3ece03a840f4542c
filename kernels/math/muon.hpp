// Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"): a weight, taken as a
// matrix [out, fan_in], moves along its momentum after that is made nearly orthogonal. With g the gradient of
// the mean loss, V the momentum and m its factor:
//   V = m V + g,  U = g + m V (Nesterov),  X = U / (|U| + epsilon), |.| the Frobenius norm
//   `iterations` times:  A = X X^T,  X = a X + (b A + c A A) X
//   w = w (1 - rate decay) - rate sqrt(max(1, rows / columns)) X
// This is the Newton-Schulz iteration; if rows > columns it uses A = X^T X and X = a X + X (b A + c A A).
// The polynomial a s + b s^3 + c s^5 drives singular values s in (0, 1] towards 0.7 to 1.2 within five
// iterations; zero stays zero.
#pragma once

#include <cmath>

#include "kernels/math/host_device.hpp"

namespace trainer {

constexpr float kMuonA = 3.4445F;
constexpr float kMuonB = -4.7750F;
constexpr float kMuonC = 2.0315F;
constexpr float kMuonEpsilon = 1e-7F;

// Updates the momentum v and returns the element of U.
HOST_DEVICE float muon_direction(float momentum, float g, float& v) {
  v = momentum * v + g;
  return g + momentum * v;
}

HOST_DEVICE float muon_factor(int rows, int columns) {
  return rows > columns ? std::sqrt(static_cast<float>(rows) / static_cast<float>(columns)) : 1.0F;
}

}  // namespace trainer
