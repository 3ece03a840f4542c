// Pooling layers that stand on their own, image by image over the same loops as the fused ones.
#include <fmt/format.h>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/parallel.hpp"

namespace trainer::cpu {

namespace {

constexpr int kLargestMaxPool = 15;  // a window's argmax is kept in one byte

PoolLoop pool_loop(const Shape& in, const Window& window, const OpDesc& desc) {
  return {in, in.c, window, out_shape(desc), false};
}

class MaxPool final : public Op {
 public:
  MaxPool(const CpuContext& context, const MaxPoolDesc& desc, int batch)
      : Op(desc, batch), context_(context), loop_(pool_loop(desc.in, desc.window, desc)) {}

  std::size_t saved_bytes() const override { return static_cast<std::size_t>(batch()) * loop_.out.size(); }

 private:
  void run_forward(const OpArgs& args) override {
    std::uint8_t* winners = winners_of(args);
    parallel(static_cast<std::size_t>(batch()), 1, context_.threads, [&](const Range& range) {
      const std::size_t at = range.begin * loop_.out.size();
      context_.loops.maxpool(loop_, floats(args.x) + range.begin * loop_.map.size(), floats(args.y) + at,
                             winners == nullptr ? nullptr : winners + at, range.end - range.begin);
    });
  }

  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    parallel(static_cast<std::size_t>(batch()), 1, context_.threads, [&](const Range& range) {
      const std::size_t at = range.begin * loop_.out.size();
      context_.loops.maxpool_backward(
          loop_, floats(args.dy) + at, reinterpret_cast<const std::uint8_t*>(args.saved) + at,
          floats(args.dx) + range.begin * loop_.map.size(), range.end - range.begin);
    });
  }

  const CpuContext& context_;
  PoolLoop loop_;
};

class AvgPool final : public Op {
 public:
  AvgPool(const CpuContext& context, const AvgPoolDesc& desc, int batch)
      : Op(desc, batch), context_(context), loop_(pool_loop(desc.in, desc.window, desc)) {}

 private:
  void run_forward(const OpArgs& args) override {
    parallel(static_cast<std::size_t>(batch()), 1, context_.threads, [&](const Range& range) {
      context_.loops.avgpool(loop_, floats(args.x) + range.begin * loop_.map.size(),
                             floats(args.y) + range.begin * loop_.out.size(), range.end - range.begin);
    });
  }

  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    parallel(static_cast<std::size_t>(batch()), 1, context_.threads, [&](const Range& range) {
      context_.loops.avgpool_backward(loop_, floats(args.dy) + range.begin * loop_.out.size(),
                                      floats(args.dx) + range.begin * loop_.map.size(),
                                      range.end - range.begin);
    });
  }

  const CpuContext& context_;
  PoolLoop loop_;
};

}  // namespace

void require_poolable(const OpDesc& desc, const Window& window) {
  if (window.size <= kLargestMaxPool) return;
  throw BackendError(
      fmt::format("{}: the CPU engine pools windows of at most {} by {}; use avgpool, or pool in two steps",
                  describe(desc), kLargestMaxPool, kLargestMaxPool));
}

std::unique_ptr<Op> make_op(const CpuContext& context, const MaxPoolDesc& desc, int batch,
                            bool /*wants_dx*/) {
  require_poolable(desc, desc.window);
  return std::make_unique<MaxPool>(context, desc, batch);
}

std::unique_ptr<Op> make_op(const CpuContext& context, const AvgPoolDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<AvgPool>(context, desc, batch);
}

}  // namespace trainer::cpu
