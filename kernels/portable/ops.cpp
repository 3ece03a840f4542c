// Single elements, pooling and batch normalisation: the order of their kernels; and which op runs a description.
#include "kernels/portable/ops.hpp"

#include <fmt/format.h>

#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

class Elementwise final : public Op {
 public:
  Elementwise(Executor& executor, const OpDesc& desc, const Pointwise& kernel, int batch)
      : Op(desc, batch), executor_(executor), kernel_(kernel) {
    kernel_.batch = batch;
    kernel_.size = static_cast<int>(in_shape(desc).size());
  }

 private:
  void run(const OpArgs& args, const float* dy, float* to) {
    Pointwise kernel = kernel_;
    if (kernel.kind == Pointwise::Kind::dropout && args.mode == Mode::inference) kernel.slope = 0;
    kernel.state = args.state;
    kernel.x = floats(args.x);
    kernel.dy = dy;
    kernel.skip = floats(args.skip);
    kernel.to = to;
    executor_.run(kernel);
  }
  void run_forward(const OpArgs& args) override { run(args, nullptr, floats(args.y)); }
  void run_backward(const OpArgs& args) override {
    if (args.dx != nullptr) run(args, floats(args.dy), floats(args.dx));
  }

  Executor& executor_;
  Pointwise kernel_;
};

class Pooling final : public Op {
 public:
  Pooling(Executor& executor, const OpDesc& desc, const Window& window, bool maximum, int batch)
      : Op(desc, batch),
        executor_(executor),
        shape_{batch,
               in_shape(desc),
               out_shape(desc),
               window,
               maximum,
               executor.tile(in_shape(desc).c, 1),
               Divider(static_cast<std::uint32_t>(window.stride))} {
    if (maximum) require_byte(desc, window);
  }
  std::size_t saved_bytes() const override {
    return shape_.maximum ? static_cast<std::size_t>(batch()) * shape_.out.size() : 0;
  }

 private:
  void run_forward(const OpArgs& args) override {
    const bool keeps = shape_.maximum && args.mode == Mode::training;
    executor_.run(Pool{shape_, floats(args.x), floats(args.y), keeps ? argmax_of(args) : nullptr});
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    executor_.run(PoolInput{shape_, floats(args.dy), argmax_of(args), floats(args.dx)});
  }

  Executor& executor_;
  PoolShape shape_;
};

class BatchNorm final : public PortableOp {
 public:
  BatchNorm(Executor& executor, const BatchNormDesc& desc, int batch)
      : PortableOp(executor, desc, batch), norm_(desc), tile_(executor.tile(desc.in.c, 1)) {}

  std::size_t saved_bytes() const override {  // mean, then inverse
    return (2 * static_cast<std::size_t>(norm_.in.c) + kMostLanes) * sizeof(float);
  }

 private:
  int positions() const { return norm_.in.h * norm_.in.w; }
  static float* saved_mean(const OpArgs& args) { return reinterpret_cast<float*>(args.saved); }
  Norm norm(const OpArgs& args, const float* mean, const float* inverse) const {
    const float* gamma = norm_.gamma ? args.w : nullptr;
    return {batch(),        norm_.in, norm_.gelu, tile_, executor_.in_turn(positions()),
            floats(args.x), mean,     inverse,    gamma, args.b};
  }

  // `sum` over the batch of all ranks.
  void sum_all(const OpArgs& args, const SumImages& sum) {
    SumImages own = sum;
    if (ranks() > 1) own.positions = 0;
    executor_.run(own);
    of_all_ranks(args, sum.columns, sum.y, sum.y, sum.positions);
  }

  // The sum of every rank's `sums` [columns] into y, divided as SumImages divides it; `sums` itself if there is one rank.
  float* of_all_ranks(const OpArgs& args, int columns, float* sums, float* y, int positions = 0) {
    if (ranks() == 1) return sums;
    Communicator& communicator = *executor_.part.ranks;
    float* all = scratch(args, gathered_);
    std::vector<std::size_t> borders;
    for (int r = 0; r <= ranks(); ++r)
      borders.push_back(static_cast<std::size_t>(r * columns) * sizeof(float));
    executor_.run(Transpose{1, columns, sums, all + communicator.rank() * columns});
    executor_.communicate([&communicator, all, borders] { communicator.all_gather(all, borders); });
    executor_.run(SumImages{{.batch = ranks()}, columns, tile_, all, y, positions, args.state});
    return y;
  }

  void run_forward(const OpArgs& args) override {
    const int c = norm_.in.c;
    float* mean = args.running_mean;
    float* inverse = scratch(args, s1_);
    float* squares = nullptr;
    if (args.mode == Mode::training) {
      mean = saved_mean(args);
      inverse = mean + c;
      float* sums = scratch(args, sums_);
      squares = scratch(args, squares_);
      const Rows images = rows_of(nullptr, args.state);
      executor_.run(SumPositions{batch(), norm_.in, tile_, floats(args.x), sums});
      sum_all(args, {images, c, tile_, sums, mean, positions(), args.state});
      executor_.run(SumPositions{batch(), norm_.in, tile_, floats(args.x), sums, mean});
      sum_all(args, {images, c, tile_, sums, squares});
    }
    executor_.run(NormVariance{args.state, positions(), c, norm_.epsilon, norm_.momentum, squares, mean,
                               args.running_mean, args.running_variance, inverse});
    executor_.run(Normalise{norm(args, mean, inverse), floats(args.y)});
  }

  void run_backward(const OpArgs& args) override {
    const int c = norm_.in.c;
    const Norm norm = this->norm(args, saved_mean(args), saved_mean(args) + c);
    Rows rows = rows_of(args);
    float* g = scratch(args, g_);
    float* sums = scratch(args, sums_);
    float* products = scratch(args, products_);
    float* s1 = args.db != nullptr ? args.db : scratch(args, s1_);
    float* s2 = args.dw != nullptr ? args.dw : scratch(args, s2_);
    executor_.run(NormSlopes{norm, rows, floats(args.dy), g, sums, products});
    executor_.run(std::vector{SumImages{rows, c, tile_, sums, s1}, SumImages{rows, c, tile_, products, s2}});
    if (args.dx == nullptr) return;
    s1 = of_all_ranks(args, c, s1, scratch(args, s1_));
    s2 = of_all_ranks(args, c, s2, scratch(args, s2_));
    rows.state = args.state;
    executor_.run(NormInput{norm, rows, g, s1, s2, floats(args.dx)});
  }

  BatchNormDesc norm_;
  Tile tile_;
  // Parts of the workspace: [batch, in], [batch, in.c], [in.c].
  std::size_t g_ = reserve(rows() * norm_.in.size());
  std::size_t sums_ = reserve(rows() * norm_.in.c), products_ = reserve(rows() * norm_.in.c);
  std::size_t s1_ = reserve(norm_.in.c), s2_ = reserve(norm_.in.c), squares_ = reserve(norm_.in.c);
  std::size_t gathered_ = reserve(static_cast<std::size_t>(ranks()) * norm_.in.c);
};

}  // namespace

void require_byte(const OpDesc& desc, const Window& window) {
  if (window.size > kWidestWindow)
    throw BackendError(
        fmt::format("{}: the portable engine pools windows of at most {} rows; choose a smaller one",
                    describe(desc), kWidestWindow));
}

std::unique_ptr<Op> make(Executor& executor, const MaxPoolDesc& desc, int batch) {
  return std::make_unique<Pooling>(executor, desc, desc.window, true, batch);
}
std::unique_ptr<Op> make(Executor& executor, const AvgPoolDesc& desc, int batch) {
  return std::make_unique<Pooling>(executor, desc, desc.window, false, batch);
}
std::unique_ptr<Op> make(Executor& executor, const BatchNormDesc& desc, int batch) {
  return std::make_unique<BatchNorm>(executor, desc, batch);
}
std::unique_ptr<Op> make(Executor& /*executor*/, const NormalisedDesc& desc, int /*batch*/) {
  throw BackendError(describe(desc) +
                     ": the portable engine runs product and normalisation one after the other");
}

std::unique_ptr<Op> make_op(Executor& executor, const OpDesc& desc, int batch) {
  const auto made = [&](const auto& known) -> std::unique_ptr<Op> {
    if constexpr (requires { pointwise(known); })
      return std::make_unique<Elementwise>(executor, desc, pointwise(known), batch);
    else
      return make(executor, known, batch);
  };
  return std::visit(made, desc);
}

}  // namespace trainer::portable
