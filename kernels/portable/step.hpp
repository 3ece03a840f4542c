// What surrounds the ops of a step: the images of the batch, and the optimisers (kernels/math/optimizer.hpp, muon.hpp).
#pragma once

#include <cstdint>

#include "kernels/math/batching.hpp"
#include "kernels/math/muon.hpp"
#include "kernels/math/optimizer.hpp"
#include "kernels/math/step_state.hpp"
#include "kernels/portable/elementary.hpp"
#include "kernels/portable/lanes.hpp"
#include "kernels/portable/units.hpp"

namespace trainer::portable {

// Opens a step: state->valid.
struct OpenStep {
  Batching batching;
  StepState* state = nullptr;

  HOST_DEVICE Units units() const { return {1}; }
  HOST_DEVICE void unit(int /*only*/) const {
    state->valid = valid_rows(batching, state->step);
    state->batch_loss = 0;
  }
};

// x = pixel * scale + shift, and the labels (GatherArgs in kernels/backend.hpp). Unit: an image.
struct Gather {
  Batching batching;
  Shape stored;
  Shape shape;
  int top = 0;
  int left = 0;
  float scale = 1;
  float shift = 0;
  const std::uint8_t* images = nullptr;
  const std::uint8_t* stored_labels = nullptr;
  float* x = nullptr;
  std::uint8_t* labels = nullptr;
  const StepState* state = nullptr;

  HOST_DEVICE Units units() const {
    return {static_cast<int>(batching.batch), 1, 1, shape.h * shape.w * shape.c};
  }
  HOST_DEVICE void unit(int n) const {
    const auto image_row = static_cast<std::uint32_t>(n);
    const bool valid = image_row < state->valid;
    const std::uint32_t image = valid ? image_of(batching, state->seed, state->step, image_row) : 0;
    labels[n] = valid ? stored_labels[image] : 0;
    for (int row = 0; row < shape.h; ++row) {
      const std::int64_t line = (std::int64_t{image} * stored.h + top + row) * stored.w + left;
      const std::uint8_t* pixels = images + line * stored.c;
      float* to = x + image_at(n, shape) + row * shape.w * shape.c;
      for (int i = 0; i < shape.w * shape.c; ++i)
        to[i] = valid ? static_cast<float>(pixels[i]) * scale + shift : 0.0F;
    }
  }
};

// Opens an update: the values that all elements share, and the first step whose loss is not finite.
struct OpenUpdate {
  Optimizer optimizer;
  Schedule schedule;
  Batching batching;
  StepState* state = nullptr;
  UpdateStep* now = nullptr;

  HOST_DEVICE Units units() const { return {1}; }
  HOST_DEVICE void unit(int /*only*/) const {
    const float loss = state->batch_loss;
    if (loss - loss != 0 && state->first_bad_step == kNoBadStep) state->first_bad_step = state->step;
    *now = update_step(optimizer, schedule, state->step, epoch_of(batching, state->step));
  }
};

struct CloseStep {
  StepState* state = nullptr;

  HOST_DEVICE Units units() const { return {1}; }
  HOST_DEVICE void unit(int /*only*/) const { ++state->step; }
};

// One step of sgd, adam, adamw or adadelta for a segment, whose pointers these are.
struct Update {
  Optimizer optimizer;
  int count = 0;
  float rate_factor = 1;
  float decay = 0;
  const StepState* state = nullptr;
  const UpdateStep* now = nullptr;
  const float* dw = nullptr;
  float* w = nullptr;
  float* slot0 = nullptr;
  float* slot1 = nullptr;

  HOST_DEVICE Units units() const { return {count}; }
  HOST_DEVICE void unit(int i) const {
    if (state->first_bad_step != kNoBadStep) return;
    const UpdateStep u = *now;
    const float rate = u.rate * rate_factor;
    float none = 0;
    switch (optimizer.kind) {
      case OptimizerKind::sgd:
        return sgd_update(u, optimizer.nesterov, rate, decay, dw[i], w[i],
                          slot0 == nullptr ? none : slot0[i]);
      case OptimizerKind::adam:
        return adam_update(optimizer, u, rate, decay, 0, dw[i], w[i], slot0[i], slot1[i]);
      case OptimizerKind::adamw:
        return adam_update(optimizer, u, rate, 0, decay, dw[i], w[i], slot0[i], slot1[i]);
      case OptimizerKind::adadelta:
        return adadelta_update(optimizer, rate, decay, dw[i], w[i], slot0[i], slot1[i]);
      case OptimizerKind::muon:
        return;
    }
  }
};

// Muon's kernels, for a weight matrix [rows, columns]. First its direction: u, and the momentum v.
struct MuonDirection {
  int count = 0;
  const StepState* state = nullptr;
  const UpdateStep* now = nullptr;
  const float* dw = nullptr;
  float* v = nullptr;
  float* u = nullptr;

  HOST_DEVICE Units units() const { return {count}; }
  HOST_DEVICE void unit(int i) const {
    float moved = v[i];
    u[i] = muon_direction(now->momentum, dw[i], moved);
    if (state->first_bad_step == kNoBadStep) v[i] = moved;
  }
};

// squares [rows]: each row's sum of squares, in double, so that the squares of large floats do not overflow.
struct MuonSquares {
  int rows = 0;
  int columns = 0;
  const float* u = nullptr;
  double* squares = nullptr;

  HOST_DEVICE Units units() const { return {rows, 1, 1, columns}; }
  HOST_DEVICE void unit(int row) const {
    double sum = 0;
    for (int i = 0; i < columns; ++i) {
      const auto value = static_cast<double>(u[std::int64_t{row} * columns + i]);
      sum = sum + value * value;
    }
    squares[row] = sum;
  }
};

// x = u / (|u| + epsilon). Unit: a row.
struct MuonNormalise {
  int rows = 0;
  int columns = 0;
  const double* squares = nullptr;
  const float* u = nullptr;
  float* x = nullptr;

  HOST_DEVICE Units units() const { return {rows, 1, 1, columns}; }
  HOST_DEVICE void unit(int row) const {
    double sum = 0;
    for (int i = 0; i < rows; ++i) sum = sum + squares[i];
    const double inverse = 1.0 / (__builtin_sqrt(sum) + static_cast<double>(kMuonEpsilon));
    for (int i = 0; i < columns; ++i) {
      const std::int64_t at = std::int64_t{row} * columns + i;
      x[at] = static_cast<float>(static_cast<double>(u[at]) * inverse);
    }
  }
};

struct MuonApply {
  int count = 0;
  float rate_factor = 1;
  float decay = 0;
  float factor = 1;
  const StepState* state = nullptr;
  const UpdateStep* now = nullptr;
  const float* x = nullptr;
  float* w = nullptr;

  HOST_DEVICE Units units() const { return {count}; }
  HOST_DEVICE void unit(int i) const {
    if (state->first_bad_step != kNoBadStep) return;
    const float rate = now->rate * rate_factor;
    w[i] = w[i] * (1.0F - rate * decay) - rate * factor * x[i];
  }
};

}  // namespace trainer::portable
