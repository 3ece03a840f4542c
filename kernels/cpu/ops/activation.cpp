// ReLU, GELU and dropout layers that stand on their own.
#include <cstring>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/parallel.hpp"

namespace trainer::cpu {

namespace {

constexpr std::size_t kGrain = 4096;  // elements that are worth a thread; a multiple of 64 for dropout

class Relu final : public Op {
 public:
  Relu(const CpuContext& context, const ReluDesc& desc, int batch)
      : Op(desc, batch), context_(context), count_(static_cast<std::size_t>(batch) * desc.in.size()) {}

 private:
  void run_forward(const OpArgs& args) override {
    parallel(count_, kGrain, context_.threads,
             [&](const Share& s) { context_.loops.relu(floats(args.x), floats(args.y), s.begin, s.end); });
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    parallel(count_, kGrain, context_.threads, [&](const Share& s) {
      context_.loops.relu_backward(floats(args.y), floats(args.dy), floats(args.dx), s.begin, s.end);
    });
  }

  const CpuContext& context_;
  std::size_t count_;
};

class Gelu final : public Op {
 public:
  Gelu(const CpuContext& context, const GeluDesc& desc, int batch)
      : Op(desc, batch), context_(context), count_(static_cast<std::size_t>(batch) * desc.in.size()) {}

 private:
  void run_forward(const OpArgs& args) override {
    parallel(count_, kGrain, context_.threads,
             [&](const Share& s) { context_.loops.gelu(floats(args.x), floats(args.y), s.begin, s.end); });
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    parallel(count_, kGrain, context_.threads, [&](const Share& s) {
      context_.loops.gelu_backward(floats(args.x), floats(args.dy), floats(args.dx), s.begin, s.end);
    });
  }

  const CpuContext& context_;
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

std::unique_ptr<Op> make_relu(const CpuContext& context, const ReluDesc& desc, int batch) {
  return std::make_unique<Relu>(context, desc, batch);
}

std::unique_ptr<Op> make_gelu(const CpuContext& context, const GeluDesc& desc, int batch) {
  return std::make_unique<Gelu>(context, desc, batch);
}

std::unique_ptr<Op> make_dropout(const CpuContext& context, const DropoutDesc& desc, int batch) {
  return std::make_unique<Dropout>(context, desc, batch);
}

}  // namespace trainer::cpu
