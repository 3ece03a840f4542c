// The ops of single elements, pooling by itself, and which op runs a description.
#include "kernels/portable/ops.hpp"

#include <fmt/format.h>

#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

// An op of single elements: run(from, dy or null, to).
class Elementwise final : public Op {
 public:
  using Run = std::function<void(const OpArgs&, const float* dy, float* to)>;
  Elementwise(const OpDesc& desc, int batch, Run run) : Op(desc, batch), run_(std::move(run)) {}

 private:
  void run_forward(const OpArgs& args) override { run_(args, nullptr, floats(args.y)); }
  void run_backward(const OpArgs& args) override {
    if (args.dx != nullptr) run_(args, floats(args.dy), floats(args.dx));
  }
  Run run_;
};

class Pooling final : public Op {
 public:
  Pooling(Executor& executor, const OpDesc& desc, const Window& window, int batch, bool maximum)
      : Op(desc, batch),
        executor_(executor),
        window_(window),
        in_(in_shape(desc)),
        out_(out_shape(desc)),
        maximum_(maximum) {}
  std::size_t saved_bytes() const override {
    return maximum_ ? static_cast<std::size_t>(batch()) * out_.size() : 0;
  }

 private:
  std::uint8_t* argmax(const OpArgs& args) const {
    return maximum_ && args.mode == Mode::training ? reinterpret_cast<std::uint8_t*>(args.saved) : nullptr;
  }
  void run_forward(const OpArgs& args) override {
    executor_.run(Pool{in_, out_, window_, static_cast<std::uint32_t>(batch()), floats(args.x),
                       floats(args.y), maximum_, argmax(args)});
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    executor_.run(PoolInput{in_, out_, window_, static_cast<std::uint32_t>(batch()), floats(args.dy),
                            argmax(args), floats(args.dx)});
  }

  Executor& executor_;
  Window window_;
  Shape in_, out_;
  bool maximum_;
};

void require_byte(const OpDesc& desc, const Window& window) {
  if (window.size * window.size > 255)
    throw BackendError(
        fmt::format("{}: the portable engine pools windows of at most 255 positions", describe(desc)));
}

struct Maker {
  Executor& executor;
  int batch;

  std::unique_ptr<Op> operator()(const ConvDesc& d) const {
    require_byte(d, d.pool);
    return make_conv(executor, d, batch);
  }
  std::unique_ptr<Op> operator()(const DenseDesc& d) const { return make_dense(executor, d, batch); }
  std::unique_ptr<Op> operator()(const HeadDesc& d) const { return make_head(executor, d, batch); }
  std::unique_ptr<Op> operator()(const MaxPoolDesc& d) const {
    require_byte(d, d.window);
    return std::make_unique<Pooling>(executor, d, d.window, batch, true);
  }
  std::unique_ptr<Op> operator()(const AvgPoolDesc& d) const {
    return std::make_unique<Pooling>(executor, d, d.window, batch, false);
  }
  std::unique_ptr<Op> operator()(const ReluDesc& d) const {
    return activation(d, Activation::Kind::leaky_relu, 0);
  }
  std::unique_ptr<Op> operator()(const LeakyReluDesc& d) const {
    return activation(d, Activation::Kind::leaky_relu, d.slope);
  }
  std::unique_ptr<Op> operator()(const GeluDesc& d) const { return activation(d, Activation::Kind::gelu, 0); }
  std::unique_ptr<Op> operator()(const DropoutDesc& d) const {
    const std::uint32_t count = elements(d.in);
    return std::make_unique<Elementwise>(
        d, batch, [this_executor = &executor, d, count](const OpArgs& args, const float* dy, float* to) {
          const float* from = dy == nullptr ? floats(args.x) : dy;
          if (args.mode == Mode::inference) return this_executor->run(Copy{count, from, to});
          this_executor->run(Dropout{d.drop, d.stream, count, args.state, from, to});
        });
  }
  std::unique_ptr<Op> operator()(const BatchNormDesc& d) const { return make_batchnorm(executor, d, batch); }
  std::unique_ptr<Op> operator()(const NormalisedDesc& d) const {
    throw BackendError(describe(d) +
                       ": the portable engine runs product and normalisation one after the other");
  }

 private:
  std::uint32_t elements(const Shape& shape) const {
    return count32(static_cast<std::size_t>(batch) * shape.size());
  }
  std::unique_ptr<Op> activation(const auto& d, Activation::Kind kind, float slope) const {
    const Activation kernel{.kind = kind, .slope = slope, .count = elements(d.in)};
    return std::make_unique<Elementwise>(
        d, batch, [this_executor = &executor, kernel](const OpArgs& args, const float* dy, float* to) {
          Activation now = kernel;
          now.x = floats(args.x);
          now.dy = dy;
          now.to = to;
          this_executor->run(now);
        });
  }
};

}  // namespace

std::unique_ptr<Op> make_op(Executor& executor, const OpDesc& desc, int batch) {
  return std::visit(Maker{executor, batch}, desc);
}

}  // namespace trainer::portable
