// ReLU, GELU, leaky ReLU, dropout and the sum of a residual block as ops of their own.
#include <cstring>
#include <functional>
#include <utility>

#include "kernels/cpu/runtime/context.hpp"

namespace trainer::cpu {

namespace {

// An element-wise function, forward and backward, over the elements of a shard.
class Elementwise final : public Op {
 public:
  using Loop = std::function<void(const Loops& loops, const OpArgs& args, const Part& s)>;

  // `saved_bytes` is per element.
  Elementwise(const CpuContext& context, const OpDesc& desc, int batch, Loop forward, Loop backward,
              std::size_t saved_bytes = 0)
      : Op(desc, batch),
        context_(context),
        forward_(std::move(forward)),
        backward_(std::move(backward)),
        size_(in_shape(desc).size()),
        saved_bytes_(saved_bytes * size_ * static_cast<std::size_t>(batch)) {}

  std::size_t saved_bytes() const override { return saved_bytes_; }

 private:
  void run(const Loop& loop, const OpArgs& args) const {
    for_shards(context_, batch(), [this, &loop, args](const Shard& shard) {
      loop(context_.loops, args, {shard.begin * size_, shard.end * size_});
    });
  }
  void run_forward(const OpArgs& args) override { run(forward_, args); }
  void run_backward(const OpArgs& args) override {
    if (args.dx != nullptr) run(backward_, args);
  }

  const CpuContext& context_;
  Loop forward_, backward_;
  std::size_t size_, saved_bytes_;  // elements of an image
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const ReluDesc& desc, int batch, bool /*wants_dx*/) {
  return std::make_unique<Elementwise>(
      context, desc, batch,
      [](const Loops& loops, const OpArgs& a, const Part& s) {
        loops.relu(floats(a.x), floats(a.y), s.begin, s.end);
      },
      [](const Loops& loops, const OpArgs& a, const Part& s) {
        loops.relu_backward(floats(a.y), floats(a.dy), floats(a.dx), s.begin, s.end);
      });
}

std::unique_ptr<Op> make_op(const CpuContext& context, const GeluDesc& desc, int batch, bool /*wants_dx*/) {
  return std::make_unique<Elementwise>(
      context, desc, batch,
      [](const Loops& loops, const OpArgs& a, const Part& s) {
        loops.gelu(floats(a.x), floats(a.y), s.begin, s.end);
      },
      [](const Loops& loops, const OpArgs& a, const Part& s) {
        loops.gelu_backward(floats(a.x), floats(a.dy), floats(a.dx), s.begin, s.end);
      });
}

std::unique_ptr<Op> make_op(const CpuContext& context, const LeakyReluDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<Elementwise>(
      context, desc, batch,
      [slope = desc.slope](const Loops& loops, const OpArgs& a, const Part& s) {
        loops.leaky_relu(slope, floats(a.x), floats(a.y), s.begin, s.end);
      },
      [slope = desc.slope](const Loops& loops, const OpArgs& a, const Part& s) {
        loops.leaky_relu_backward(slope, floats(a.x), floats(a.dy), floats(a.dx), s.begin, s.end);
      });
}

std::unique_ptr<Op> make_op(const CpuContext& context, const ResidualDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<Elementwise>(
      context, desc, batch,
      [](const Loops& loops, const OpArgs& a, const Part& s) {
        loops.add_skip(floats(a.x), floats(a.skip), floats(a.y), s.begin, s.end);
      },
      [](const Loops& loops, const OpArgs& a, const Part& s) {
        loops.add_skip(floats(a.dy), floats(a.skip), floats(a.dx), s.begin, s.end);
      });
}

std::unique_ptr<Op> make_op(const CpuContext& context, const DropoutDesc& desc, int batch,
                            bool /*wants_dx*/) {
  const auto mask = [](const OpArgs& a) { return reinterpret_cast<std::uint8_t*>(a.saved); };
  return std::make_unique<Elementwise>(
      context, desc, batch,
      [mask, desc](const Loops& loops, const OpArgs& a, const Part& s) {
        if (a.mode == Mode::training)
          return loops.dropout(desc, *a.state, floats(a.x), floats(a.y), mask(a), s.begin, s.end);
        std::memcpy(floats(a.y) + s.begin, floats(a.x) + s.begin, (s.end - s.begin) * sizeof(float));
      },
      [mask, desc](const Loops& loops, const OpArgs& a, const Part& s) {
        loops.dropout_backward(desc.drop, mask(a), floats(a.dy), floats(a.dx), s.begin, s.end);
      },
      1);
}

}  // namespace trainer::cpu
