// The ops of single elements, pooling by itself, and which op runs a description.
#include "kernels/portable/ops.hpp"

#include <fmt/format.h>
#include <functional>

#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

// An op of single elements: run(args, dy or null, to).
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

std::unique_ptr<Op> make_activation(Executor& executor, const OpDesc& desc, const Activation& kernel) {
  return std::make_unique<Elementwise>(desc, kernel.batch,
                                       [&executor, kernel](const OpArgs& args, const float* dy, float* to) {
                                         Activation now = kernel;
                                         now.x = floats(args.x);
                                         now.dy = dy;
                                         now.to = to;
                                         executor.run(now);
                                       });
}

class Pooling final : public Op {
 public:
  Pooling(Executor& executor, const OpDesc& desc, const PoolShape& shape)
      : Op(desc, shape.batch), executor_(executor), shape_(shape) {}
  std::size_t saved_bytes() const override {
    return shape_.maximum ? static_cast<std::size_t>(batch()) * shape_.out.size() : 0;
  }

 private:
  void run_forward(const OpArgs& args) override {
    const bool keeps = shape_.maximum && args.mode == Mode::training;
    executor_.run(Pool{shape_, floats(args.x), floats(args.y), keeps ? argmax_of(args) : nullptr});
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx != nullptr)
      executor_.run(PoolInput{shape_, floats(args.dy), argmax_of(args), floats(args.dx)});
  }

  Executor& executor_;
  PoolShape shape_;
};

std::unique_ptr<Op> make_pool(Executor& executor, const OpDesc& desc, const Window& window, bool maximum,
                              int batch) {
  if (maximum) require_byte(desc, window);
  const Shape in = in_shape(desc);
  return std::make_unique<Pooling>(
      executor, desc, PoolShape{batch, in, out_shape(desc), window, maximum, executor.lanes(in.c)});
}

int size_of(const Shape& shape) {
  return static_cast<int>(shape.size());
}

}  // namespace

void require_byte(const OpDesc& desc, const Window& window) {
  if (window.size > kWidestWindow)
    throw BackendError(
        fmt::format("{}: the portable engine pools windows of at most {} rows; choose a smaller one",
                    describe(desc), kWidestWindow));
}

std::unique_ptr<Op> make(Executor& executor, const MaxPoolDesc& desc, int batch) {
  return make_pool(executor, desc, desc.window, true, batch);
}
std::unique_ptr<Op> make(Executor& executor, const AvgPoolDesc& desc, int batch) {
  return make_pool(executor, desc, desc.window, false, batch);
}
std::unique_ptr<Op> make(Executor& executor, const ReluDesc& desc, int batch) {
  return make_activation(executor, desc, {.batch = batch, .size = size_of(desc.in)});
}
std::unique_ptr<Op> make(Executor& executor, const LeakyReluDesc& desc, int batch) {
  return make_activation(executor, desc, {.batch = batch, .size = size_of(desc.in), .slope = desc.slope});
}
std::unique_ptr<Op> make(Executor& executor, const GeluDesc& desc, int batch) {
  return make_activation(executor, desc,
                         {.batch = batch, .size = size_of(desc.in), .kind = Activation::Kind::gelu});
}
std::unique_ptr<Op> make(Executor& executor, const DropoutDesc& desc, int batch) {
  return std::make_unique<Elementwise>(
      desc, batch, [&executor, desc, batch](const OpArgs& args, const float* dy, float* to) {
        const float drop = args.mode == Mode::inference ? 0.0F : desc.drop;
        executor.run(Dropout{std::int64_t{batch} * size_of(desc.in), drop, desc.stream, args.state,
                             dy == nullptr ? floats(args.x) : dy, to});
      });
}
std::unique_ptr<Op> make(Executor& /*executor*/, const NormalisedDesc& desc, int /*batch*/) {
  throw BackendError(describe(desc) +
                     ": the portable engine runs product and normalisation one after the other");
}

std::unique_ptr<Op> make_op(Executor& executor, const OpDesc& desc, int batch) {
  return std::visit([&](const auto& known) { return make(executor, known, batch); }, desc);
}

}  // namespace trainer::portable
