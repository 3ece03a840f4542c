// ReLU, GELU and dropout layers that stand on their own.
#include <cstring>
#include <functional>
#include <utility>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/parallel.hpp"

namespace trainer::cpu {

namespace {

constexpr std::size_t kGrain = 4096;  // elements that are worth a thread; a multiple of 64 for dropout

// Forward and backward over some elements.
using ElementLoop = std::function<void(const OpArgs& args, std::size_t begin, std::size_t end)>;

class Activation final : public Op {
 public:
  Activation(const CpuContext& context, const OpDesc& desc, int batch, ElementLoop forward,
             ElementLoop backward)
      : Op(desc, batch),
        threads_(context.threads),
        forward_(std::move(forward)),
        backward_(std::move(backward)),
        count_(static_cast<std::size_t>(batch) * in_shape(desc).size()) {}

 private:
  void run_forward(const OpArgs& args) override { run(forward_, args); }
  void run_backward(const OpArgs& args) override {
    if (args.dx != nullptr) run(backward_, args);
  }
  void run(const ElementLoop& loop, const OpArgs& args) const {
    parallel(count_, kGrain, threads_, [&](const Share& s) { loop(args, s.begin, s.end); });
  }

  int threads_;
  ElementLoop forward_, backward_;
  std::size_t count_;
};

class Dropout final : public Op {
 public:
  Dropout(const CpuContext& context, const DropoutDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        dropout_(desc),
        count_(static_cast<std::size_t>(batch) * desc.in.size()) {}

  std::size_t saved_bytes() const override { return count_; }  // 1 where kept

 private:
  void run_forward(const OpArgs& args) override {
    if (args.mode == Mode::inference) {
      parallel(count_, kGrain, context_.threads, [&](const Share& s) {
        std::memcpy(floats(args.y) + s.begin, floats(args.x) + s.begin, (s.end - s.begin) * sizeof(float));
      });
      return;
    }
    const DropoutLoop loop{dropout_.drop, dropout_.stream, args.state->step, args.state->seed};
    auto* kept = reinterpret_cast<std::uint8_t*>(args.saved);
    parallel(count_, kGrain, context_.threads, [&](const Share& s) {
      context_.loops.dropout(loop, floats(args.x), floats(args.y), kept, s.begin, s.end);
    });
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    const auto* kept = reinterpret_cast<const std::uint8_t*>(args.saved);
    parallel(count_, kGrain, context_.threads, [&](const Share& s) {
      context_.loops.dropout_backward(dropout_.drop, kept, floats(args.dy), floats(args.dx), s.begin, s.end);
    });
  }

  const CpuContext& context_;
  DropoutDesc dropout_;
  std::size_t count_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const ReluDesc& desc, int batch, bool /*wants_dx*/) {
  return std::make_unique<Activation>(
      context, desc, batch,
      [&loops = context.loops](const OpArgs& a, std::size_t begin, std::size_t end) {
        loops.relu(floats(a.x), floats(a.y), begin, end);
      },
      [&loops = context.loops](const OpArgs& a, std::size_t begin, std::size_t end) {
        loops.relu_backward(floats(a.y), floats(a.dy), floats(a.dx), begin, end);
      });
}

std::unique_ptr<Op> make_op(const CpuContext& context, const GeluDesc& desc, int batch, bool /*wants_dx*/) {
  return std::make_unique<Activation>(
      context, desc, batch,
      [&loops = context.loops](const OpArgs& a, std::size_t begin, std::size_t end) {
        loops.gelu(floats(a.x), floats(a.y), begin, end);
      },
      [&loops = context.loops](const OpArgs& a, std::size_t begin, std::size_t end) {
        loops.gelu_backward(floats(a.x), floats(a.dy), floats(a.dx), begin, end);
      });
}

std::unique_ptr<Op> make_op(const CpuContext& context, const DropoutDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<Dropout>(context, desc, batch);
}

}  // namespace trainer::cpu
