// The last layer and its loss: a dense layer's products, then softmax, cross-entropy, gradient and correct answers in
// one pass over the rows of logits.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/onednn/inner_product.hpp"

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

class Head final : public ProductOp {
 public:
  Head(const CpuContext& context, const HeadDesc& desc, int batch, bool wants_dx)
      : ProductOp(context, desc, batch, canonical_weights(dense(desc))),
        fp32_(fp32(context)),
        head_(desc),
        inputs_(static_cast<std::size_t>(batch) * desc.in),
        logits_(static_cast<std::size_t>(batch) * desc.classes),
        all_losses_(desc.selection.selects() ? static_cast<std::size_t>(context.part.batch + batch) : 0),
        product_(fp32_, dense(desc), batch, wants_dx) {
    stored_ = product_.stored_weights();
  }

  std::size_t workspace_bytes() const override {
    return HostAllocator::aligned(product_.workspace_bytes()) +
           HostAllocator::aligned(static_cast<std::size_t>(batch()) * sizeof(RowResult));
  }
  std::size_t saved_bytes() const override { return logits_ * sizeof(float); }  // the gradient of z

 private:
  void run_forward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    product_.forward(floats(args.x), args.w, args.b, floats(args.y),
                     memory.take<std::byte>(product_.workspace_bytes()));
    auto* rows = memory.take<RowResult>(static_cast<std::size_t>(batch()));
    float* dz = args.mode == Mode::training ? reinterpret_cast<float*>(args.saved) : nullptr;
    const std::size_t valid = args.state->valid;
    const std::size_t kept = dz == nullptr ? valid
                                           : selected_rows(head_.selection, args.state->step, args.steps,
                                                           args.state->valid_of_all());
    const float scale = 1 / static_cast<float>(kept > 0 ? kept : 1);
    parallel(static_cast<std::size_t>(batch()), 16, context_.threads, [&](const Range& range) {
      for (std::size_t n = range.begin; n < range.end; ++n) {
        const std::size_t at = n * static_cast<std::size_t>(head_.classes);
        float* gradient = dz == nullptr ? nullptr : dz + at;
        rows[n] = softmax_row(head_, floats(args.y) + at, args.labels[n], n < valid ? scale : 0, gradient);
      }
    });
    add_up(rows, *args.state);
    if (dz != nullptr && head_.selection.selects()) select_hardest(args, rows, kept, dz);
  }

  // Writes which rows are selected, the hardest `kept` of all ranks, and clears the gradient of the others.
  void select_hardest(const OpArgs& args, const RowResult* rows, std::size_t kept, float* dz) {
    const std::size_t valid = args.state->valid;
    const std::size_t all = args.state->valid_of_all();
    const std::size_t first = args.state->first_row;
    for (std::size_t n = 0; n < valid; ++n) all_losses_[first + n] = rows[n].plain;
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
    const auto classes = static_cast<std::size_t>(head_.classes);
    for (std::size_t n = 0; n < valid; ++n) {
      if (args.selected[n] == 0) std::fill_n(dz + n * classes, classes, 0.0F);
    }
  }

  // One row whose loss is not finite makes the batch's loss not finite.
  static void add_up(const RowResult* rows, StepState& state) {
    double loss = 0;
    for (std::size_t n = 0; n < state.valid; ++n) {
      loss += rows[n].loss;
      state.correct += rows[n].hit ? 1 : 0;
    }
    state.batch_loss += static_cast<float>(loss);
    state.loss_sum += loss;
    state.images += state.valid;
  }

  void run_backward(const OpArgs& args) override {
    const auto* dz = reinterpret_cast<const float*>(args.saved);
    product_.backward(floats(args.x), dz, args.w, {args.dw, args.db, floats(args.dx)}, args.workspace,
                      nullptr);
    if (args.dx != nullptr && head_.x_map.masked)
      relu_backward(context_, floats(args.x), floats(args.dx), floats(args.dx), inputs_);
  }

  static CpuContext fp32(CpuContext context) {
    context.bf16 = nullptr;
    return context;
  }
  static DenseDesc dense(const HeadDesc& desc) {
    return {.in = desc.in, .out = desc.classes, .bias = desc.bias};
  }

  CpuContext fp32_;  // the products of the head use fp32 in every precision
  HeadDesc head_;
  std::size_t inputs_;
  std::size_t logits_;
  std::vector<float> all_losses_;        // of every row of all ranks, for selection
  std::vector<std::uint64_t> hardness_;  // their hardness_key()
  InnerProduct product_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const HeadDesc& desc, int batch, bool wants_dx) {
  return std::make_unique<Head>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu
