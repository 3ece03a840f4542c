// ReLU, GELU, leaky ReLU and dropout layers that stand on their own.
#include <cstring>
#include <functional>
#include <utility>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/parallel.hpp"

namespace trainer::cpu {

namespace {

constexpr std::size_t kGrain = 4096;  // elements that are worth a thread; a multiple of 64 for dropout

enum class Keeps { x, y };  // of forward, for backward

// A function of one element; its loops are those of Loops, over elements begin .. end - 1.
class Activation final : public Op {
 public:
  using Forward = std::function<void(const float* x, float* y, std::size_t begin, std::size_t end)>;
  using Backward =
      std::function<void(const float* kept, const float* dy, float* dx, std::size_t begin, std::size_t end)>;

  Activation(const CpuContext& context, const OpDesc& desc, int batch, Keeps keeps, Forward forward,
             Backward backward)
      : Op(desc, batch),
        threads_(context.threads),
        keeps_(keeps),
        forward_(std::move(forward)),
        backward_(std::move(backward)),
        count_(static_cast<std::size_t>(batch) * in_shape(desc).size()) {}

 private:
  void run_forward(const OpArgs& args) override {
    parallel(count_, kGrain, threads_,
             [&](const Range& s) { forward_(floats(args.x), floats(args.y), s.begin, s.end); });
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    const float* kept = keeps_ == Keeps::x ? floats(args.x) : floats(args.y);
    parallel(count_, kGrain, threads_,
             [&](const Range& s) { backward_(kept, floats(args.dy), floats(args.dx), s.begin, s.end); });
  }

  int threads_;
  Keeps keeps_;
  Forward forward_;
  Backward backward_;
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
      parallel(count_, kGrain, context_.threads, [&](const Range& s) {
        std::memcpy(floats(args.y) + s.begin, floats(args.x) + s.begin, (s.end - s.begin) * sizeof(float));
      });
      return;
    }
    const DropoutLoop loop{dropout_.drop, dropout_.stream, args.state->step, args.state->seed};
    auto* kept = reinterpret_cast<std::uint8_t*>(args.saved);
    parallel(count_, kGrain, context_.threads, [&](const Range& s) {
      context_.loops.dropout(loop, floats(args.x), floats(args.y), kept, s.begin, s.end);
    });
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    const auto* kept = reinterpret_cast<const std::uint8_t*>(args.saved);
    parallel(count_, kGrain, context_.threads, [&](const Range& s) {
      context_.loops.dropout_backward(dropout_.drop, kept, floats(args.dy), floats(args.dx), s.begin, s.end);
    });
  }

  const CpuContext& context_;
  DropoutDesc dropout_;
  std::size_t count_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const ReluDesc& desc, int batch, bool /*wants_dx*/) {
  return std::make_unique<Activation>(context, desc, batch, Keeps::y, context.loops.relu,
                                      context.loops.relu_backward);
}

std::unique_ptr<Op> make_op(const CpuContext& context, const GeluDesc& desc, int batch, bool /*wants_dx*/) {
  return std::make_unique<Activation>(context, desc, batch, Keeps::x, context.loops.gelu,
                                      context.loops.gelu_backward);
}

std::unique_ptr<Op> make_op(const CpuContext& context, const LeakyReluDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<Activation>(context, desc, batch, Keeps::x,
                                      std::bind_front(context.loops.leaky_relu, desc.slope),
                                      std::bind_front(context.loops.leaky_relu_backward, desc.slope));
}

std::unique_ptr<Op> make_op(const CpuContext& context, const DropoutDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<Dropout>(context, desc, batch);
}

}  // namespace trainer::cpu
