// Batch normalisation: the order of its kernels.
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

class BatchNorm final : public PortableOp {
 public:
  BatchNorm(Executor& executor, const BatchNormDesc& desc, int batch)
      : PortableOp(executor, desc, batch),
        norm_(desc),
        shape_{.batch = count32(rows()),
               .positions = desc.in.h * desc.in.w,
               .channels = desc.in.c,
               .epsilon = desc.epsilon,
               .momentum = desc.momentum,
               .gelu = desc.gelu,
               .lanes = executor.lanes(desc.in.c)} {}

  std::size_t saved_bytes() const override { return 2 * table() * sizeof(float); }  // mean, then inverse
  std::size_t workspace_bytes() const override {
    return Memory::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  struct Layout {
    float *g, *sums, *products;  // [batch, in], [batch, channels] each
    float *s1, *s2, *inverse;    // [channels]
    RowMemory rows;
  };
  Layout lay_out(Memory& memory) const {
    Layout p{};
    p.g = memory.take<float>(rows() * norm_.in.size() + kMostLanes);
    for (float** sums : {&p.sums, &p.products})
      *sums = memory.take<float>(rows() * static_cast<std::size_t>(norm_.in.c) + kMostLanes);
    for (float** sums : {&p.s1, &p.s2, &p.inverse}) *sums = memory.take<float>(table());
    p.rows = row_memory(memory);
    return p;
  }
  std::size_t table() const { return static_cast<std::size_t>(padded(norm_.in.c, kMostLanes)); }

  NormTables tables(const OpArgs& args, const float* mean, const float* inverse) const {
    return {mean, inverse, norm_.gamma ? args.w : nullptr, args.b};
  }
  NormTables saved_tables(const OpArgs& args) const {
    const auto* mean = reinterpret_cast<const float*>(args.saved);
    return tables(args, mean, mean + table());
  }

  void run_forward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    if (args.mode == Mode::inference) {
      executor_.run(
          NormVariance{.shape = shape_, .running_variance = args.running_variance, .inverse = p.inverse});
      executor_.run(
          Normalise{shape_, tables(args, args.running_mean, p.inverse), floats(args.x), floats(args.y)});
      return;
    }
    auto* mean = reinterpret_cast<float*>(args.saved);
    executor_.run(NormImageSums{shape_, floats(args.x), nullptr, p.sums});
    executor_.run(NormMean{shape_, args.state, p.sums, mean});
    executor_.run(NormImageSums{shape_, floats(args.x), mean, p.sums});
    executor_.run(NormVariance{shape_, args.state, p.sums, mean, args.running_mean, args.running_variance,
                               mean + table()});
    executor_.run(Normalise{shape_, saved_tables(args), floats(args.x), floats(args.y)});
  }

  void run_backward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    const Rows rows = rows_of(args, p.rows);
    const NormTables tables = saved_tables(args);
    executor_.run(NormSlopes{shape_, rows, tables, floats(args.x), floats(args.dy), p.g, p.sums, p.products});
    executor_.run(SumImages{rows, norm_.in.c, p.sums, p.s1, shape_.lanes});
    executor_.run(SumImages{rows, norm_.in.c, p.products, p.s2, shape_.lanes});
    const auto copy = [&](const float* from, float* to) {
      if (to != nullptr) executor_.run(Copy{count32(static_cast<std::size_t>(norm_.in.c)), from, to});
    };
    copy(p.s1, args.db);
    if (norm_.gamma) copy(p.s2, args.dw);
    if (args.dx == nullptr) return;
    executor_.run(
        NormInput{shape_, rows, tables, args.state, floats(args.x), p.g, p.s1, p.s2, floats(args.dx)});
  }

  BatchNormDesc norm_;
  NormShape shape_;
};

}  // namespace

std::unique_ptr<Op> make_batchnorm(Executor& executor, const BatchNormDesc& desc, int batch) {
  return std::make_unique<BatchNorm>(executor, desc, batch);
}

}  // namespace trainer::portable
