// What surrounds the ops of a step: the images of the batch, and the optimisers (kernels/math/optimizer.hpp, muon.hpp).
#pragma once

#include <cstdint>

#include "kernels/backend.hpp"
#include "kernels/math/clipping.hpp"
#include "kernels/math/muon.hpp"
#include "kernels/portable/batch_sum.hpp"
#include "kernels/portable/clipping.hpp"

namespace trainer::portable {

// Opens a step: x = pixel * scale + shift, the labels, and state->valid. Unit: `in_turn` rows of an image.
struct Gather {
  GatherArgs args;
  int in_turn = 1;

  HOST_DEVICE Units units() const {
    return {static_cast<int>(args.batching.batch), pieces(args.shape.h, in_turn), 1,
            in_turn * args.shape.w * args.shape.c};
  }
  HOST_DEVICE void unit(int n, int part) const {
    const Shape& stored = args.stored;
    const Shape& shape = args.shape;
    const auto row_of_batch = static_cast<std::uint32_t>(n);
    const std::uint32_t rows = valid_rows(args.batching, args.state->step);
    const bool valid = row_of_batch < rows;
    const std::uint32_t image =
        valid ? image_of(args.batching, args.state->seed, args.state->step, row_of_batch).index : 0;
    if (part == 0) args.labels[n] = valid ? args.stored_labels[image] : 0;
    for (int row = part * in_turn; row < (part + 1) * in_turn && row < shape.h; ++row) {
      const std::int64_t line = (std::int64_t{image} * stored.h + args.top + row) * stored.w + args.left;
      const std::uint8_t* pixels = args.images + line * stored.c;
      float* to = static_cast<float*>(args.x) + image_at(n, shape) + row * shape.w * shape.c;
      DEVICE_UNROLL(14)
      for (int i = 0; i < shape.w * shape.c; ++i)
        to[i] = valid ? static_cast<float>(read<std::uint8_t>(pixels + i)) * args.scale + args.shift : 0.0F;
    }
    if (n != 0 || part != 0) return;
    open_step(args.batching, *args.state);
  }
};

// Opens an update: the values that all elements share, and the first step whose loss is not finite.
struct OpenUpdate {
  Optimizer optimizer;
  Schedule schedule;
  Batching batching;
  StepState* state = nullptr;
  UpdateStep* now = nullptr;
  float clip_norm = 0;  // if set, of the gradients with these sums of squares
  const double* squares = nullptr;

  HOST_DEVICE Units units() const { return {1}; }
  HOST_DEVICE void unit(int /*only*/) const {
    const float loss = state->batch_loss;
    if (loss - loss != 0 && state->first_bad_step == kNoBadStep) state->first_bad_step = state->step;
    double sum = 0;
    for (int i = 0; clip_norm > 0 && i < kClipPieces; ++i) sum = sum + squares[i];
    *now = update_step(optimizer, schedule, state->step, epoch_of(batching, state->step));
    if (clip_norm > 0) now->clip = clip_factor(sum, clip_norm);
  }
};

// The moving average of an arena of weights (kernels/math/average.hpp), after CloseStep.
struct Average {
  AverageArgs args;

  HOST_DEVICE Units units() const { return {static_cast<int>(args.count)}; }
  HOST_DEVICE void unit(int i) const {
    if (args.moves()) args.averages[i] = moved_average(args.step_decay(), args.averages[i], args.values[i]);
  }
};

struct CloseStep {
  StepState* state = nullptr;

  HOST_DEVICE Units units() const { return {1}; }
  HOST_DEVICE void unit(int /*only*/) const { ++state->step; }
};

// One step of an optimiser for a segment, whose pointers these are. Muon's gradient is a direction that is orthogonal already.
struct Update {
  Optimizer optimizer;
  int count = 0;
  float rate_factor = 1, decay = 0;
  const StepState* state = nullptr;
  const UpdateStep* now = nullptr;
  const float* dw = nullptr;
  float *w = nullptr, *slot0 = nullptr, *slot1 = nullptr;
  float muon_factor = 1;

  HOST_DEVICE Units units() const { return {count}; }
  HOST_DEVICE void unit(int i) const {
    if (state->first_bad_step != kNoBadStep) return;
    const UpdateStep u = *now;
    const float rate = u.rate * rate_factor;
    const float g = dw[i] * u.clip;
    float none = 0;
    switch (optimizer.kind) {
      case OptimizerKind::sgd:
        return sgd_update(u, optimizer.nesterov, rate, decay, g, w[i], slot0 == nullptr ? none : slot0[i]);
      case OptimizerKind::adam:
        return adam_update(optimizer, u, rate, decay, 0, g, w[i], slot0[i], slot1[i]);
      case OptimizerKind::adamw:
        return adam_update(optimizer, u, rate, 0, decay, g, w[i], slot0[i], slot1[i]);
      case OptimizerKind::adadelta:
        return adadelta_update(optimizer, rate, decay, g, w[i], slot0[i], slot1[i]);
      case OptimizerKind::muon:
        w[i] = w[i] * (1.0F - rate * decay) - rate * muon_factor * dw[i];
    }
  }
};

// Computes Muon's direction u for a weight matrix [rows, columns] and its momentum v, and the sum of squares of each row of u, in
// double, so that the squares of large floats do not overflow. Unit: a row.
struct MuonDirection {
  int rows = 0, columns = 0;
  const StepState* state = nullptr;
  const UpdateStep* now = nullptr;
  const float* dw = nullptr;
  float *v = nullptr, *u = nullptr;
  double* squares = nullptr;

  HOST_DEVICE Units units() const { return {rows, 1, 1, columns}; }
  HOST_DEVICE void unit(int row) const {
    const bool moves = state->first_bad_step == kNoBadStep;
    const float momentum = now->momentum, clip = now->clip;
    double sum = 0;
    for (int i = row * columns; i < (row + 1) * columns; ++i) {
      float moved = v[i];
      const float direction = muon_direction(momentum, read<float>(dw + i) * clip, moved);
      if (moves) v[i] = moved;
      u[i] = direction;
      sum = sum + static_cast<double>(direction) * static_cast<double>(direction);
    }
    squares[row] = sum;
  }
};

// x = u / (|u| + epsilon). Unit: `in_turn` elements of a row.
struct MuonNormalise {
  int rows = 0, columns = 0;
  const double* squares = nullptr;
  const float* u = nullptr;
  float* x = nullptr;
  int in_turn = 1;

  HOST_DEVICE Units units() const { return {rows, pieces(columns, in_turn), 1, rows + in_turn}; }
  HOST_DEVICE void unit(int row, int part) const {
    double sum = 0;
    for (int i = 0; i < rows; ++i) sum = sum + squares[i];
    const double inverse = exact_quotient(1.0, exact_root(sum) + static_cast<double>(kMuonEpsilon));
    const int end = (part + 1) * in_turn < columns ? (part + 1) * in_turn : columns;
    for (int i = row * columns + part * in_turn; i < row * columns + end; ++i)
      x[i] = static_cast<float>(static_cast<double>(u[i]) * inverse);
  }
};

}  // namespace trainer::portable
