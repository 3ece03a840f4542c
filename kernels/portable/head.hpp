// The loss: softmax cross-entropy of the logits, its gradient, correct answers and the selection of rows (kernels/op.hpp).
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "kernels/portable/batch_sum.hpp"

namespace trainer::portable {

// A row's results, before they are added up.
struct RowLoss {
  float loss = 0;
  float plain = 0;  // the loss without label smoothing: how hard the image is
  std::uint32_t correct = 0;
};

// Computes the loss of each row of logits [batch, classes] and, in training, the gradient g [batch, classes] of the product below
// the logits, times 1 / the rows that will be selected.
struct HeadLoss {
  HeadDesc head;
  int batch = 0;
  std::uint64_t steps = 0;
  const StepState* state = nullptr;
  const std::uint8_t* labels = nullptr;
  const float* logits = nullptr;
  float* g = nullptr;  // null in inference
  RowLoss* losses = nullptr;

  HOST_DEVICE Units units() const { return {batch, 1, 1, 64 * head.classes}; }
  HOST_DEVICE void unit(int n) const {
    const float* y = logits + std::int64_t{n} * head.classes;
    const int label = labels[n];
    int best = 0;
    for (int j = 1; j < head.classes; ++j) best = y[j] > y[best] ? j : best;
    const float smoothing = g == nullptr ? 0.0F : head.label_smoothing;
    const float fraction = portable_div(smoothing, static_cast<float>(head.classes));
    float sum = 0;
    float below = 0;  // the sum of the logits relative to the largest
    for (int j = 0; j < head.classes; ++j) {
      sum = sum + exponential(y[j] - y[best]);
      below = below + (y[j] - y[best]);
    }
    const float of_label = y[label] - y[best];
    const float norm = logarithm(sum);
    // A NaN or an infinity among the logits passes through to the loss.
    const float odd = below - below;
    losses[n] = {(norm - (1.0F - smoothing) * of_label) - fraction * below + odd, norm - of_label + odd,
                 best == label ? 1U : 0U};
    if (g != nullptr) write_gradient(n, y, y[best], sum, fraction);
  }

 private:
  HOST_DEVICE void write_gradient(int n, const float* y, float most, float sum, float fraction) const {
    float* row = g + std::int64_t{n} * head.classes;
    const std::uint32_t selected = selected_rows(head.selection, state->step, steps, state->valid_of_all());
    const float scale = portable_div(head.logit_scale, static_cast<float>(selected > 0 ? selected : 1U));
    for (int j = 0; j < head.classes; ++j) {
      const float target = fraction + (j == labels[n] ? 1.0F - head.label_smoothing : 0.0F);
      const float softmax = portable_div(exponential(y[j] - most), sum);
      row[j] = n < static_cast<int>(state->valid) ? (softmax - target) * scale : 0.0F;
    }
  }
};

// Adds the rows' results to the state.
struct HeadSums {
  Rows rows;  // with an image
  const RowLoss* losses = nullptr;
  StepState* state = nullptr;

  HOST_DEVICE Units units() const { return {1}; }
  HOST_DEVICE void unit(int /*only*/) const {
    const float loss = batch_sum<1>(rows, &losses->loss, sizeof(RowLoss) / sizeof(float));
    state->batch_loss = state->batch_loss + loss;
    state->loss_sum = state->loss_sum + static_cast<double>(loss);
    std::uint32_t correct = 0;
    const int valid = rows.with_image();
    DEVICE_UNROLL(16)
    for (int n = 0; n < valid; ++n) correct += losses[n].correct;
    state->correct += correct;
    state->images += state->valid;
  }
};

// Selects the hardest rows of all ranks, and clears the gradient of the others. Unit: a row, which counts the rows that are harder.
struct HeadSelect {
  HeadDesc head;
  int batch = 0;
  std::uint64_t steps = 0;
  const StepState* state = nullptr;
  const RowLoss* losses = nullptr;  // those of all ranks
  std::uint8_t* selected = nullptr;
  float* g = nullptr;

  HOST_DEVICE Units units() const { return {batch, 1, 1, batch}; }
  HOST_DEVICE void unit(int n) const {
    const std::uint32_t row = state->first_row + static_cast<std::uint32_t>(n);
    const std::uint32_t valid = state->valid_of_all();
    const std::uint32_t count = selected_rows(head.selection, state->step, steps, valid);
    const std::uint64_t key = hardness_key(losses[row].plain, row);
    std::uint32_t harder = 0;
    DEVICE_UNROLL(8)
    for (std::uint32_t m = 0; m < valid; ++m) harder += hardness_key(losses[m].plain, m) < key ? 1U : 0U;
    selected[n] = n < static_cast<int>(state->valid) && harder < count ? 1 : 0;
    for (int j = 0; selected[n] == 0 && j < head.classes; ++j) g[std::int64_t{n} * head.classes + j] = 0.0F;
  }
};

}  // namespace trainer::portable
