// The last layer and its loss. The three products are oneDNN's; softmax, cross-entropy, gradient and hits are
// one pass over the rows of logits:
//   loss = log(sum exp(y_j - max)) - (y_label - max),  dy_j = (softmax_j - [j = label]) / valid
#include <cmath>

#include "kernels/cpu/inner_product.hpp"
#include "kernels/cpu/parallel.hpp"

namespace trainer::cpu {

namespace {

// What one row of logits says; summed row by row in order, so that the sum does not depend on the threads.
struct RowResult {
  float loss;
  bool hit;
};

RowResult softmax_row(const float* y, int classes, int label, float scale, float* dy) {
  int best = 0;
  for (int j = 1; j < classes; ++j) {
    if (y[j] > y[best]) best = j;
  }
  const float most = y[best];
  float sum = 0;
  for (int j = 0; j < classes; ++j) {
    const float e = std::exp(y[j] - most);
    if (dy != nullptr) dy[j] = e;
    sum += e;
  }
  if (dy != nullptr) {
    for (int j = 0; j < classes; ++j) dy[j] = (dy[j] / sum - (j == label ? 1.0F : 0.0F)) * scale;
  }
  return {std::log(sum) - (y[label] - most), best == label};
}

class Head final : public Op {
 public:
  Head(const CpuContext& context, const HeadDesc& desc, int batch, bool wants_dx)
      : Op(desc, batch),
        context_(context),
        fp32_(fp32(context)),
        classes_(desc.classes),
        masks_dx_(desc.masks_dx),
        inputs_(static_cast<std::size_t>(batch) * desc.in),
        logits_(static_cast<std::size_t>(batch) * desc.classes),
        product_(fp32_, {batch, desc.in, desc.classes, desc.bias, wants_dx}) {}

  std::size_t workspace_bytes() const override {
    return aligned(product_.workspace_bytes()) +
           aligned(static_cast<std::size_t>(batch()) * sizeof(RowResult));
  }
  std::size_t saved_bytes() const override { return logits_ * sizeof(float); }  // the gradient of the logits
  std::size_t stored_count(int index) const override {
    return index == 0 ? product_.weight_floats() : Op::stored_count(index);
  }
  void store(int index, const float* canonical, float* stored) const override {
    index == 0 ? product_.store(canonical, stored) : Op::store(index, canonical, stored);
  }
  void fetch(int index, const float* stored, float* canonical) const override {
    index == 0 ? product_.fetch(stored, canonical) : Op::fetch(index, stored, canonical);
  }

 private:
  void run_forward(const OpArgs& args) override {
    Carver carver(args.workspace);
    product_.forward(floats(args.x), args.w, args.b, floats(args.y),
                     carver.bytes(product_.workspace_bytes()));
    auto* rows =
        reinterpret_cast<RowResult*>(carver.bytes(static_cast<std::size_t>(batch()) * sizeof(RowResult)));
    float* dy = args.mode == Mode::training ? reinterpret_cast<float*>(args.saved) : nullptr;
    const std::size_t valid = args.state->valid;
    const float scale = 1 / static_cast<float>(valid > 0 ? valid : 1);
    parallel(static_cast<std::size_t>(batch()), 16, context_.threads, [&](const Share& share) {
      for (std::size_t n = share.begin; n < share.end; ++n) {
        const std::size_t at = n * static_cast<std::size_t>(classes_);
        float* gradient = dy == nullptr ? nullptr : dy + at;
        rows[n] = softmax_row(floats(args.y) + at, classes_, args.labels[n], n < valid ? scale : 0, gradient);
      }
    });
    add_up(rows, *args.state);
  }

  // A row whose loss is not finite makes the batch's loss so.
  static void add_up(const RowResult* rows, StepState& state) {
    double loss = 0;
    for (std::size_t n = 0; n < state.valid; ++n) {
      loss += rows[n].loss;
      state.hits += rows[n].hit ? 1 : 0;
    }
    state.batch_loss += static_cast<float>(loss);
    state.loss_sum += loss;
    state.images += state.valid;
  }

  void run_backward(const OpArgs& args) override {
    const auto* dy = reinterpret_cast<const float*>(args.saved);
    product_.backward(floats(args.x), dy, args.w, {args.dw, args.db, floats(args.dx)}, args.workspace,
                      nullptr);
    if (args.dx == nullptr || !masks_dx_) return;
    parallel(inputs_, 4096, context_.threads, [&](const Share& share) {
      context_.loops.relu_backward(floats(args.x), floats(args.dx), floats(args.dx), share.begin, share.end);
    });
  }

  static CpuContext fp32(CpuContext context) {
    context.bf16 = nullptr;
    return context;
  }

  const CpuContext& context_;
  CpuContext fp32_;  // of its products, in every precision
  int classes_;
  bool masks_dx_;
  std::size_t inputs_;
  std::size_t logits_;
  InnerProduct product_;
};

}  // namespace

std::unique_ptr<Op> make_head(const CpuContext& context, const HeadDesc& desc, int batch, bool wants_dx) {
  return std::make_unique<Head>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu
