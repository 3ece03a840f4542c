// The optimisers, one element at a time (Muon is in muon.hpp). The parameters of a network are one flat array
// divided into segments, and an update is one pass over it: `UpdateStep` holds the values that all elements of
// a step share, computed once. g is the gradient of the mean loss; weight decay adds decay * w to it (L2),
// except in AdamW, where it shrinks w by rate * decay in addition to the step (Loshchilov and Hutter 2019).
#pragma once

#include <cstdint>

#include "kernels/math/division.hpp"
#include "kernels/math/schedule.hpp"

namespace trainer {

enum class OptimizerKind : std::uint8_t { sgd, adam, adamw, adadelta, muon };

struct Optimizer {
  OptimizerKind kind = OptimizerKind::sgd;
  Pieces momentum;         // sgd, muon: by epoch; empty: none
  bool nesterov = false;   // sgd
  bool dampening = false;  // sgd: v = m v + (1 - m) g instead of v = m v + g (CNTK)
  float beta1 = 0.9F;      // adam, adamw
  float beta2 = 0.999F;
  float rho = 0.9F;  // adadelta
  float epsilon = 1e-8F;
  int iterations = 5;  // muon: Newton-Schulz iterations (muon.hpp)
};

// Whether the optimiser updates whole matrices (muon.hpp) rather than one element at a time.
HOST_DEVICE bool takes_matrices(const Optimizer& o) {
  return o.kind == OptimizerKind::muon;
}

// The number of values per parameter that the optimiser keeps from step to step.
HOST_DEVICE int optimizer_slots(const Optimizer& o) {
  if (o.kind == OptimizerKind::sgd) return o.momentum.count > 0 ? 1 : 0;
  return o.kind == OptimizerKind::muon ? 1 : 2;
}

constexpr int kMostOptimizers = 4;  // per network: a step's kernels take them as arguments

// Consecutive parameters with the same optimiser settings.
struct Segment {
  std::uint64_t offset = 0;  // in floats
  std::uint64_t count = 0;
  float rate_factor = 1;
  float decay = 0;
  bool cast_gradient = false;   // its dw is stored in the maps' element type
  std::uint32_t optimizer = 0;  // which of UpdateArgs::optimizers
};

struct UpdateStep {
  float rate = 0;
  float momentum = 0;
  float gradient_weight = 1;  // sgd: the factor of g: 1, or 1 - momentum with dampening
  float correction1 = 1;      // adam: 1 / (1 - beta1^t)
  float correction2 = 1;      // adam: 1 / sqrt(1 - beta2^t)
  float clip = 1;             // the factor that clips g (clipping.hpp)
};

HOST_DEVICE UpdateStep update_step(const Optimizer& o, const Schedule& s, std::uint64_t step,
                                   std::uint64_t epoch) {
  UpdateStep u;
  u.rate = learning_rate(s, step, epoch);
  if (o.momentum.count > 0) {
    u.momentum = piece_at(o.momentum, epoch);
    u.gradient_weight = o.dampening ? 1 - u.momentum : 1;
  }
  if (o.kind == OptimizerKind::adam || o.kind == OptimizerKind::adamw) {
    const auto t = static_cast<double>(step + 1);
    u.correction1 = static_cast<float>(exact_quotient(1.0, 1 - power_of(static_cast<double>(o.beta1), t)));
    u.correction2 =
        static_cast<float>(exact_quotient(1.0, exact_root(1 - power_of(static_cast<double>(o.beta2), t))));
  }
  return u;
}

// v = m v + a g, a = gradient_weight; w -= rate v, or with Nesterov w -= rate (a g + m v)
HOST_DEVICE void sgd_update(const UpdateStep& u, bool nesterov, float rate, float decay, float g, float& w,
                            float& v) {
  const float dampened = u.gradient_weight * (g + decay * w);
  v = u.momentum * v + dampened;
  w -= rate * (nesterov ? dampened + u.momentum * v : v);
}

// m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= rate m^ / (sqrt(v^) + epsilon)  (Kingma and Ba 2015)
HOST_DEVICE void adam_update(const Optimizer& o, const UpdateStep& u, float rate, float l2, float shrink,
                             float g, float& w, float& m, float& v) {
  const float full = g + l2 * w;
  m = o.beta1 * m + (1 - o.beta1) * full;
  v = o.beta2 * v + (1 - o.beta2) * full * full;
  w -= rate * shrink * w;
  w -= quotient_in_loops(rate * u.correction1 * m, exact_root(v) * u.correction2 + o.epsilon);
}

// a = rho a + (1 - rho) g^2; d = sqrt(e + epsilon) / sqrt(a + epsilon) g; e = rho e + (1 - rho) d^2; w -= rate d (Zeiler 2012)
HOST_DEVICE void adadelta_update(const Optimizer& o, float rate, float decay, float g, float& w, float& a,
                                 float& e) {
  const float full = g + decay * w;
  a = o.rho * a + (1 - o.rho) * full * full;
  const float d = quotient_in_loops(exact_root(e + o.epsilon), exact_root(a + o.epsilon)) * full;
  e = o.rho * e + (1 - o.rho) * d * d;
  w -= rate * d;
}

}  // namespace trainer
