// Dense layer and its ReLU: after the product forward, as a mask before the two products backward. The ReLU
// is our own loop because oneDNN's turns a NaN into 0, and a network that has broken must not look whole.
#include "kernels/cpu/inner_product.hpp"
#include "kernels/cpu/parallel.hpp"

namespace trainer::cpu {

namespace {

class Dense final : public Op {
 public:
  Dense(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx)
      : Op(desc, batch),
        context_(context),
        relu_(desc.relu),
        masks_dy_(desc.relu && !desc.dy_masked),
        outputs_(static_cast<std::size_t>(batch) * desc.out),
        product_(context, {batch, desc.in, desc.out, desc.bias, wants_dx}) {}

  std::size_t workspace_bytes() const override {
    return aligned(product_.workspace_bytes()) + (masks_dy_ ? aligned(outputs_ * sizeof(float)) : 0);
  }
  std::size_t saved_bytes() const override { return product_.saved_bytes(); }
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
    std::byte* saved = args.mode == Mode::training ? args.saved : nullptr;
    product_.forward(floats(args.x), args.w, args.b, floats(args.y), args.workspace, saved);
    if (!relu_) return;
    parallel(outputs_, 4096, context_.threads, [&](const Share& share) {
      context_.loops.relu(floats(args.y), floats(args.y), share.begin, share.end);
    });
  }

  void run_backward(const OpArgs& args) override {
    Carver carver(args.workspace);
    std::byte* workspace = carver.bytes(product_.workspace_bytes());
    const float* dy = floats(args.dy);
    if (masks_dy_) {
      float* masked = carver.floats(outputs_);  // [n, out]
      parallel(outputs_, 4096, context_.threads, [&](const Share& share) {
        context_.loops.relu_backward(floats(args.y), floats(args.dy), masked, share.begin, share.end);
      });
      dy = masked;
    }
    product_.backward(floats(args.x), dy, args.w, {args.dw, args.db, floats(args.dx)}, workspace, args.saved);
  }

  const CpuContext& context_;
  bool relu_;
  bool masks_dy_;
  std::size_t outputs_;
  InnerProduct product_;
};

}  // namespace

std::unique_ptr<Op> make_dense(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx) {
  return std::make_unique<Dense>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu
