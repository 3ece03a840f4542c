// Batch normalisation: the order of its kernels.
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

class BatchNorm final : public PortableOp {
 public:
  BatchNorm(Executor& executor, const BatchNormDesc& desc, int batch)
      : PortableOp(executor, desc, batch), norm_(desc), lanes_(executor.lanes(desc.in.c)) {}

  std::size_t saved_bytes() const override { return 2 * table() * sizeof(float); }  // mean, then inverse

 private:
  std::size_t table() const { return static_cast<std::size_t>(padded(norm_.in.c, kMostLanes)); }
  int positions() const { return norm_.in.h * norm_.in.w; }
  Rows images(const OpArgs& args) const { return {.batch = batch(), .state = args.state}; }

  Norm norm(const OpArgs& args, const float* mean, const float* inverse) const {
    return {batch(),        norm_.in, norm_.gelu, lanes_,
            floats(args.x), mean,     inverse,    norm_.gamma ? args.w : nullptr,
            args.b};
  }
  SumPositions position_sums(const OpArgs& args, const float* mean) const {
    return {batch(), norm_.in, floats(args.x), scratch(args, sums_), mean, nullptr, lanes_};
  }

  void run_forward(const OpArgs& args) override {
    NormVariance variance{.rows = images(args),
                          .positions = positions(),
                          .channels = norm_.in.c,
                          .epsilon = norm_.epsilon,
                          .momentum = norm_.momentum,
                          .running_mean = args.running_mean,
                          .running_variance = args.running_variance};
    const float* mean = args.running_mean;
    if (args.mode == Mode::inference) {
      variance.inverse = scratch(args, s1_);
    } else {
      auto* batch_mean = reinterpret_cast<float*>(args.saved);
      executor_.run(position_sums(args, nullptr));
      executor_.run(
          SumImages{images(args), norm_.in.c, scratch(args, sums_), batch_mean, lanes_, positions()});
      executor_.run(position_sums(args, batch_mean));
      variance.sums = scratch(args, sums_);
      variance.mean = mean = batch_mean;
      variance.inverse = batch_mean + table();
    }
    executor_.run(variance);
    executor_.run(Normalise{norm(args, mean, variance.inverse), floats(args.y), lanes_});
  }

  void run_backward(const OpArgs& args) override {
    const auto* mean = reinterpret_cast<const float*>(args.saved);
    const Norm norm = this->norm(args, mean, mean + table());
    Rows rows = rows_of(args);
    float* g = scratch(args, g_);
    float* s1 = args.db != nullptr ? args.db : scratch(args, s1_);
    float* s2 = norm_.gamma && args.dw != nullptr ? args.dw : scratch(args, s2_);
    float* products = scratch(args, products_);
    executor_.run(NormSlopes{norm, rows, floats(args.dy), g, scratch(args, sums_), products, lanes_});
    executor_.run(SumImages{rows, norm_.in.c, scratch(args, sums_), s1, lanes_});
    executor_.run(SumImages{rows, norm_.in.c, products, s2, lanes_});
    if (args.dx == nullptr) return;
    rows.state = args.state;
    executor_.run(NormInput{norm, rows, g, s1, s2, floats(args.dx), lanes_});
  }

  BatchNormDesc norm_;
  int lanes_;
  // Parts of the workspace: [batch, in], [batch, in.c], [in.c].
  std::size_t g_ = reserve(rows() * norm_.in.size());
  std::size_t sums_ = reserve(rows() * static_cast<std::size_t>(norm_.in.c)),
              products_ = reserve(rows() * static_cast<std::size_t>(norm_.in.c));
  std::size_t s1_ = reserve(table()), s2_ = reserve(table());
};

}  // namespace

std::unique_ptr<Op> make(Executor& executor, const BatchNormDesc& desc, int batch) {
  return std::make_unique<BatchNorm>(executor, desc, batch);
}

}  // namespace trainer::portable
