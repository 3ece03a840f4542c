// Dense layer and its ReLU: after the product forward, as a mask before the two products backward. The ReLU
// is our own loop because oneDNN's turns a NaN into 0, and a network that has broken must not look whole.
// Where rows are selected, backward takes those that are kept together and multiplies no others.
#include <algorithm>
#include <optional>

#include "kernels/cpu/onednn/inner_product.hpp"
#include "kernels/cpu/runtime/parallel.hpp"
#include "kernels/cpu/runtime/selected_rows.hpp"

namespace trainer::cpu {

namespace {

class Dense final : public Op {
 public:
  Dense(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx)
      : Op(desc, batch),
        context_(context),
        dense_(desc),
        masks_dy_(desc.relu && !desc.y_map.masked),
        outputs_(static_cast<std::size_t>(batch) * desc.out),
        product_(context, {batch, desc.in, desc.out, desc.bias, wants_dx}),
        rows_(batch) {
    if (desc.y_map.selected_rows == 0 || context.bf16 != nullptr)
      return;  // what bf16 has kept of forward is of all rows
    few_.emplace(context, InnerProductShape{desc.y_map.selected_rows, desc.in, desc.out, desc.bias, wants_dx},
                 &product_);
  }

  std::size_t workspace_bytes() const override {
    const std::size_t masked = masks_dy_ ? HostAllocator::aligned(outputs_ * sizeof(float)) : 0;
    return masked + std::max(HostAllocator::aligned(product_.workspace_bytes()),
                             HostAllocator::bytes([&](auto& memory) { lay_out(memory); }));
  }
  std::size_t saved_bytes() const override { return product_.saved_bytes(); }
  bool reads_selected_rows() const override { return few_.has_value() && !masks_dy_; }
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
  // The selected rows of each, and what their products need.
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
    if (!dense_.relu) return;
    parallel(outputs_, 4096, context_.threads, [&](const Range& range) {
      context_.loops.relu(floats(args.y), floats(args.y), range.begin, range.end);
    });
  }

  void run_backward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const float* dy = floats(args.dy);
    if (masks_dy_) {
      float* masked = memory.take<float>(outputs_);  // [n, out]
      parallel(outputs_, 4096, context_.threads, [&](const Range& range) {
        context_.loops.relu_backward(floats(args.y), floats(args.dy), masked, range.begin, range.end);
      });
      dy = masked;
    }
    rows_.read(args);
    if (few_ && rows_.count() <= static_cast<std::size_t>(dense_.y_map.selected_rows))
      return multiply_selected(args, dy, lay_out(memory));
    product_.backward(floats(args.x), dy, args.w, {args.dw, args.db, floats(args.dx)},
                      memory.take<std::byte>(0), args.saved);
  }

  // Row i of the kept ones, or zeros where there are fewer.
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

  const CpuContext& context_;
  DenseDesc dense_;
  bool masks_dy_;
  std::size_t outputs_;
  InnerProduct product_;
  std::optional<InnerProduct> few_;  // of the selected rows of a whole batch
  SelectedRows rows_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx) {
  return std::make_unique<Dense>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu
