// Dense layer and its ReLU, which is applied after the product in forward, and as a mask before the two products
// in backward. The ReLU is our own loop because oneDNN's turns a NaN into 0, which would hide that training has
// diverged. If rows are selected, backward packs those and multiplies no others.
#include <algorithm>
#include <optional>

#include "kernels/cpu/onednn/inner_product.hpp"
#include "kernels/cpu/runtime/selected_rows.hpp"

namespace trainer::cpu {

namespace {

class Dense final : public ProductOp {
 public:
  Dense(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx)
      : ProductOp(context, desc, batch, canonical_weights(desc)),
        dense_(desc),
        masks_dy_(desc.relu && !desc.y_map.masked),
        outputs_(static_cast<std::size_t>(batch) * desc.out),
        product_(context, desc, batch, wants_dx),
        rows_(batch) {
    stored_ = product_.stored_weights();
    // Not for bf16: its products read the copies that forward saves, and those hold all rows.
    if (desc.y_map.selected_rows > 0 && context.bf16 == nullptr)
      few_.emplace(context, desc, desc.y_map.selected_rows, wants_dx, &product_);
  }

  std::size_t workspace_bytes() const override {
    const std::size_t masked = masks_dy_ ? HostAllocator::aligned(outputs_ * sizeof(float)) : 0;
    return masked + std::max(HostAllocator::aligned(product_.workspace_bytes()),
                             HostAllocator::bytes([&](auto& memory) { lay_out(memory); }));
  }
  std::size_t saved_bytes() const override { return product_.saved_bytes(); }
  bool reads_selected_rows() const override { return few_.has_value() && !masks_dy_; }

 private:
  // The packed selected rows of each map, and the workspace of their products.
  struct Few {
    std::byte* workspace;
    float *x, *dy, *dx;
  };
  Few lay_out(HostAllocator& memory) const {
    if (!few_) return {};
    const auto rows = static_cast<std::size_t>(dense_.y_map.selected_rows);
    const std::size_t in = rows * static_cast<std::size_t>(dense_.in);
    Few few{};
    few.workspace = memory.take<std::byte>(few_->workspace_bytes());
    few.x = memory.take<float>(in);
    few.dy = memory.take<float>(rows * static_cast<std::size_t>(dense_.out));
    few.dx = memory.take<float>(in);
    return few;
  }

  void run_forward(const OpArgs& args) override {
    std::byte* saved = args.mode == Mode::training ? args.saved : nullptr;
    product_.forward(floats(args.x), args.w, args.b, floats(args.y), args.workspace, saved);
    if (dense_.relu) relu(context_, floats(args.y), outputs_);
  }

  void run_backward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const float* dy = floats(args.dy);
    if (masks_dy_) {
      float* masked = memory.take<float>(outputs_);  // [n, out]
      relu_backward(context_, floats(args.y), dy, masked, outputs_);
      dy = masked;
    }
    rows_.read(args);
    if (few_ && rows_.count() <= static_cast<std::size_t>(dense_.y_map.selected_rows))
      return multiply_selected(args, dy, lay_out(memory));
    product_.backward(floats(args.x), dy, args.w, {args.dw, args.db, floats(args.dx)},
                      memory.take<std::byte>(0), args.saved);
  }

  // Copies the i-th selected row into row i of `to`, or zeros if fewer rows are selected.
  void take_row(const float* from, std::size_t i, std::size_t length, float* to) const {
    if (i < rows_.count()) {
      std::copy_n(from + rows_[i] * length, length, to + i * length);
    } else {
      std::fill_n(to + i * length, length, 0.0F);
    }
  }

  void multiply_selected(const OpArgs& args, const float* dy, const Few& few) const {
    const auto in = static_cast<std::size_t>(dense_.in);
    const auto out = static_cast<std::size_t>(dense_.out);
    const auto rows = static_cast<std::size_t>(dense_.y_map.selected_rows);
    parallel(rows, 8, context_.threads, [&](const Range& range) {
      for (std::size_t i = range.begin; i < range.end; ++i) {
        take_row(floats(args.x), i, in, few.x);
        take_row(dy, i, out, few.dy);
      }
    });
    float* dx = args.dx == nullptr ? nullptr : few.dx;
    few_->backward(few.x, few.dy, args.w, {args.dw, args.db, dx}, few.workspace, nullptr);
    if (dx == nullptr) return;
    parallel(rows_.count(), 8, context_.threads, [&](const Range& range) {
      for (std::size_t i = range.begin; i < range.end; ++i)
        std::copy_n(dx + i * in, in, floats(args.dx) + rows_[i] * in);
    });
    rows_.clear_rest(args, dense_.x_map, in * sizeof(float));
  }

  DenseDesc dense_;
  bool masks_dy_;
  std::size_t outputs_;
  InnerProduct product_;
  std::optional<InnerProduct> few_;  // for the selected rows of a full batch
  SelectedRows rows_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx) {
  return std::make_unique<Dense>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu
