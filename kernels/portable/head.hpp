// The loss: softmax cross-entropy of the logits, its gradient, correct answers and the selection of rows (kernels/op.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/math/selection.hpp"
#include "kernels/math/step_state.hpp"
#include "kernels/portable/batch_sum.hpp"
#include "kernels/portable/elementary.hpp"

namespace trainer::portable {

// A row's results, before they are added up.
struct RowLoss {
  float loss = 0;
  float plain = 0;  // the loss without label smoothing: how hard the image is
  std::uint32_t correct = 0;
};

// Of each row of logits [batch, classes]: the loss and, in training, the gradient g [batch, classes] of the product below the
// logits, times 1 / the rows that will be selected.
struct HeadLoss {
  std::uint32_t batch = 0;
  int classes = 0;
  float logit_scale = 1;
  float label_smoothing = 0;
  Selection selection = {};
  std::uint64_t steps = 0;
  const StepState* state = nullptr;
  const std::uint8_t* labels = nullptr;
  const float* logits = nullptr;
  float* g = nullptr;  // null in inference
  RowLoss* rows = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return batch; }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t n, std::uint32_t /*inner*/) const {
    const float* y = logits + std::size_t{n} * classes;
    const int label = labels[n];
    int best = 0;
    for (int j = 1; j < classes; ++j) best = y[j] > y[best] ? j : best;
    const float smoothing = g == nullptr ? 0.0F : label_smoothing;
    const float fraction = portable_div(smoothing, static_cast<float>(classes));
    float sum = 0;
    float below = 0;  // the sum of the logits relative to the largest
    for (int j = 0; j < classes; ++j) {
      sum = sum + exponential(y[j] - y[best]);
      below = below + (y[j] - y[best]);
    }
    const float of_label = y[label] - y[best];
    const float norm = logarithm(sum);
    // A NaN or an infinity among the logits passes through to the loss.
    const float odd = below - below;
    rows[n] = {(norm - (1.0F - smoothing) * of_label) - fraction * below + odd, norm - of_label + odd,
               best == label ? 1U : 0U};
    if (g != nullptr) write_gradient(n, y, y[best], sum, fraction);
  }

 private:
  HOST_DEVICE void write_gradient(std::uint32_t n, const float* y, float most, float sum,
                                  float fraction) const {
    float* row = g + std::size_t{n} * classes;
    const std::uint32_t selected = selected_rows(selection, state->step, steps, state->valid);
    const float scale = portable_div(logit_scale, static_cast<float>(selected > 0 ? selected : 1U));
    for (int j = 0; j < classes; ++j) {
      const float target = fraction + (j == labels[n] ? 1.0F - label_smoothing : 0.0F);
      const float softmax = portable_div(exponential(y[j] - most), sum);
      row[j] = n < state->valid ? (softmax - target) * scale : 0.0F;
    }
  }
};

// Adds the rows' results to the state.
struct HeadSums {
  std::uint32_t batch = 0;
  const RowLoss* rows = nullptr;
  StepState* state = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return 1; }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t /*outer*/, std::uint32_t /*inner*/) const {
    float shard[kShards];
    std::uint32_t correct = 0;
    const Rows all{.batch = batch};
    for (std::uint32_t s = 0; s < kShards; ++s) {
      shard[s] = 0;
      for (std::uint32_t n = all.begin(s); n < all.begin(s + 1) && n < state->valid; ++n) {
        shard[s] = shard[s] + rows[n].loss;
        correct += rows[n].correct;
      }
    }
    const float loss = tree(shard);
    state->batch_loss = state->batch_loss + loss;
    state->loss_sum = state->loss_sum + static_cast<double>(loss);
    state->correct += correct;
    state->images += state->valid;
  }
};

// Selects the hardest rows, and clears the gradient of the others. Unit: a row, which counts the rows that are harder.
struct HeadSelect {
  std::uint32_t batch = 0;
  int classes = 0;
  Selection selection = {};
  std::uint64_t steps = 0;
  const StepState* state = nullptr;
  const RowLoss* rows = nullptr;
  std::uint8_t* selected = nullptr;
  float* g = nullptr;

  HOST_DEVICE std::uint32_t outer() const { return batch; }
  HOST_DEVICE std::uint32_t inner() const { return 1; }
  template <int L>
  HOST_DEVICE void unit(std::uint32_t n, std::uint32_t /*inner*/) const {
    const std::uint32_t valid = state->valid;
    const std::uint32_t count = selected_rows(selection, state->step, steps, valid);
    const std::uint64_t key = hardness_key(rows[n].plain, n);
    std::uint32_t harder = 0;
    for (std::uint32_t m = 0; m < valid; ++m) harder += hardness_key(rows[m].plain, m) < key ? 1U : 0U;
    selected[n] = n < valid && harder < count ? 1 : 0;
    for (int j = 0; selected[n] == 0 && j < classes; ++j) g[std::size_t{n} * classes + j] = 0.0F;
  }
};

}  // namespace trainer::portable
