// The last layer and its loss: a dense layer's products, then softmax, cross-entropy, gradient and correct answers in
// one pass over the rows of logits.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/onednn/dense_products.hpp"

namespace trainer::cpu {

namespace {

// The results of one row of logits. They are summed in row order, so that the sum does not depend on the threads.
struct RowResult {
  float loss;
  float plain;  // the loss without label smoothing
  bool hit;
};

// Turns a row of z into logits, in place, and computes its loss and gradient. dz is null in inference.
RowResult softmax_row(const HeadDesc& head, float* y, int label, float scale, float* dz) {
  const int classes = head.classes;
  int best = 0;
  for (int j = 0; j < classes; ++j) {
    y[j] *= head.logit_scale;
    if (y[j] > y[best]) best = j;
  }
  const float most = y[best];
  const float smoothing = dz == nullptr ? 0 : head.label_smoothing;
  const float fraction = smoothing / static_cast<float>(classes);
  float sum = 0;
  float below = 0;  // the sum of the logits relative to the largest
  for (int j = 0; j < classes; ++j) {
    const float e = std::exp(y[j] - most);
    if (dz != nullptr) dz[j] = e;
    sum += e;
    below += y[j] - most;
  }
  const float on_label = 1 - smoothing;
  if (dz != nullptr) {
    for (int j = 0; j < classes; ++j)
      dz[j] = (dz[j] / sum - fraction - (j == label ? on_label : 0.0F)) * head.logit_scale * scale;
  }
  const float norm = std::log(sum);
  const float of_label = y[label] - most;
  return {norm - on_label * of_label - (smoothing > 0 ? fraction * below : 0.0F), norm - of_label,
          best == label};
}

// The products of the head use fp32 in every precision.
struct Fp32Context {
  explicit Fp32Context(const CpuContext& context) : fp32_(context) { fp32_.bf16 = nullptr; }
  CpuContext fp32_;
};

class Head final : private Fp32Context, public DenseOp {
 public:
  Head(const CpuContext& context, const HeadDesc& desc, int batch, bool wants_dx)
      : Fp32Context(context),
        DenseOp(fp32_, desc, {.in = desc.in, .out = desc.classes, .bias = desc.bias}, batch, wants_dx),
        head_(desc),
        rows_(static_cast<std::size_t>(batch)),
        all_losses_(desc.selection.selects() ? static_cast<std::size_t>(context.part.batch + batch) : 0) {}

  std::size_t saved_bytes() const override {  // the gradient of z
    return static_cast<std::size_t>(batch()) * out_ * sizeof(float);
  }

 private:
  std::size_t selected_in(const OpArgs& args) const {
    return selected_rows(head_.selection, args.state->step, args.steps, args.state->valid_of_all());
  }

  void run_forward(const OpArgs& args) override {
    const bool training = args.mode == Mode::training;
    float* dz = training ? reinterpret_cast<float*>(args.saved) : nullptr;
    append_forward(args);
    for_shards(context_, batch(), [this, args, dz](const Shard& shard) { compute_losses(args, dz, shard); });
    if (training && head_.selection.selects()) context_.stream.serial([this, args] { select_hardest(args); });
    context_.stream.closing(1, [this, args](int, int) { add_up(*args.state); });
  }

  void compute_losses(const OpArgs& args, float* dz, const Shard& shard) {
    const std::size_t valid = args.state->valid;
    const std::size_t kept = dz == nullptr ? valid : selected_in(args);
    const float scale = 1 / static_cast<float>(kept > 0 ? kept : 1);
    for (std::size_t n = shard.begin; n < shard.end; ++n) {
      const std::size_t at = n * out_;
      float* gradient = dz == nullptr ? nullptr : dz + at;
      rows_[n] = softmax_row(head_, floats(args.y) + at, args.labels[n], n < valid ? scale : 0, gradient);
    }
  }

  // Writes which rows are selected: the hardest of all ranks.
  void select_hardest(const OpArgs& args) {
    const std::size_t valid = args.state->valid;
    const std::size_t all = args.state->valid_of_all();
    const std::size_t first = args.state->first_row;
    const std::size_t kept = selected_in(args);
    for (std::size_t n = 0; n < valid; ++n) all_losses_[first + n] = rows_[n].plain;
    gather_rows(context_.part, all_losses_.data(), sizeof(float));
    for (std::size_t n = 0; n < all; ++n) hardness_.push_back(hardness_key(all_losses_[n], n));
    const auto key = [this](std::size_t at) { return hardness_.begin() + static_cast<std::ptrdiff_t>(at); };
    if (kept < all) std::nth_element(key(0), key(kept), key(all));
    std::fill_n(args.selected, batch(), std::uint8_t{0});
    for (std::size_t i = 0; i < kept; ++i) {
      const std::size_t row = static_cast<std::uint32_t>(hardness_[i]) - first;
      if (row < valid) args.selected[row] = 1;
    }
    hardness_.clear();
  }

  // Added in row order. One row whose loss is not finite makes the batch's loss not finite.
  void add_up(StepState& state) const {
    double loss = 0;
    for (std::size_t n = 0; n < state.valid; ++n) {
      loss += rows_[n].loss;
      state.correct += rows_[n].hit ? 1 : 0;
    }
    state.batch_loss += static_cast<float>(loss);
    state.loss_sum += loss;
    state.images += state.valid;
  }

  void run_backward(const OpArgs& args) override {
    auto* dz = reinterpret_cast<float*>(args.saved);
    if (!reads_selected_rows()) {
      for_shards(context_, batch(), [this, args, dz](const Shard& shard) {
        for (std::size_t n = shard.begin; n < shard.end; ++n)
          if (!is_selected(args, n)) std::fill_n(dz + n * out_, out_, 0.0F);
      });
    }
    append_backward(args, dz);
    if (args.dx == nullptr) return;
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      clear_rest(args, {}, shard, in_ * sizeof(float));
      if (head_.x_map.masked)
        context_.loops.relu_backward(floats(args.x), floats(args.dx), floats(args.dx), shard.begin * in_,
                                     shard.end * in_);
    });
  }

  HeadDesc head_;
  std::vector<RowResult> rows_;
  std::vector<float> all_losses_;        // of every row of all ranks, for selection
  std::vector<std::uint64_t> hardness_;  // their hardness_key()
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const HeadDesc& desc, int batch, bool wants_dx) {
  return std::make_unique<Head>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu
