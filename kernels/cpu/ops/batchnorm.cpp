// Batch normalisation, followed by GELU if the plan says so; op.hpp has the formulas. Sums over the batch are added up in
// thread order.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/selected_rows.hpp"

namespace trainer::cpu {

namespace {

constexpr std::size_t kTile = 256;      // most floats per tile, unless there are more channels
constexpr std::size_t kPositions = 64;  // fewest positions per thread

class BatchNorm final : public Op {
 public:
  BatchNorm(const CpuContext& context, const BatchNormDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        norm_(desc),
        channels_(static_cast<std::size_t>(desc.in.c)),
        positions_(static_cast<std::size_t>(desc.in.h) * desc.in.w),
        tile_(channels_ * std::max<std::size_t>(kTile / channels_, 1)),
        rows_(batch) {}

  std::size_t saved_bytes() const override { return 2 * channels_ * sizeof(float); }  // mean, then s
  bool reads_selected_rows() const override { return true; }
  std::size_t workspace_bytes() const override {
    return HostAllocator::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  struct Layout {
    double* sums;                                             // [threads, 2, c]
    double* of_ranks;                                         // [ranks, 2 c + 1]
    float* tile_sums;                                         // [threads, 2, tile]
    float *mean, *inv_std, *gamma, *beta, *mean_g, *mean_gx;  // tables [tile]
    float* statistics;  // [2, c]: mean and s in inference, mean_g and mean_gx in backward
  };

  Layout lay_out(HostAllocator& memory) const {
    const auto threads = static_cast<std::size_t>(context_.threads);
    Layout p{};
    p.sums = memory.take<double>(threads * 2 * channels_);
    p.of_ranks = memory.take<double>(ranks() == nullptr ? 0 : ranks()->size() * (2 * channels_ + 1));
    p.tile_sums = memory.take<float>(threads * 2 * tile_);
    for (float** table : {&p.mean, &p.inv_std, &p.gamma, &p.beta, &p.mean_g, &p.mean_gx})
      *table = memory.take<float>(tile_);
    p.statistics = memory.take<float>(2 * channels_);
    return p;
  }

  std::size_t valid_positions(const OpArgs& args) const { return args.state->valid * positions_; }
  Communicator* ranks() const { return context_.part.sync_batchnorm ? context_.part.ranks : nullptr; }

  void fill(float* table, const float* values) const {
    for (std::size_t i = 0; i < tile_; i += channels_) std::copy_n(values, channels_, table + i);
  }

  // The loop of thread `thread`; fill_tables() fills its tables.
  NormLoop loop_of(const Layout& p, int thread) const {
    return {channels_, tile_,   norm_.gelu, p.mean,
            p.inv_std, p.gamma, p.beta,     p.tile_sums + 2 * tile_ * static_cast<std::size_t>(thread)};
  }

  void fill_tables(const OpArgs& args, const Layout& p, const float* mean, const float* inv_std) const {
    fill(p.mean, mean);
    fill(p.inv_std, inv_std);
    fill(p.beta, args.b);
    if (args.w != nullptr) {
      fill(p.gamma, args.w);
    } else {
      std::fill_n(p.gamma, tile_, 1.0F);
    }
  }

  // What a pass covers and how it is divided among the threads: consecutive positions if all valid rows are
  // selected, else whole images.
  struct Cut {
    std::size_t count, grain;
    bool positions;
  };
  Cut cut_of(const OpArgs& args) {
    rows_.read(args);
    if (args.selected == nullptr || rows_.count() == args.state->valid)
      return {valid_positions(args), kPositions, true};
    return {rows_.count(), std::max<std::size_t>(kPositions / positions_, 1), false};
  }

  // Calls body(thread, first float, parts from there) for each range.
  template <typename Body>
  void for_parts(const Cut& cut, const Body& body) const {
    parallel(cut.count, cut.grain, context_.threads, [&](const Range& range) {
      static constexpr std::uint32_t kWhole = 0;
      const std::size_t count = range.end - range.begin;
      cut.positions
          ? body(range.thread, range.begin * channels_, NormParts{&kWhole, 1, count * channels_})
          : body(range.thread, 0, NormParts{rows_.data() + range.begin, count, positions_ * channels_});
    });
  }

  // Computes two sums per channel in p.sums [2, c]; add(loop, first float, parts from there, sums) adds those
  // of a range.
  template <typename Add>
  void sum(const Layout& p, const Cut& cut, const Add& add) const {
    std::fill_n(p.sums, 2 * channels_ * static_cast<std::size_t>(context_.threads), 0.0);
    for_parts(cut, [&](int thread, std::size_t first, const NormParts& parts) {
      add(loop_of(p, thread), first, parts, p.sums + 2 * channels_ * static_cast<std::size_t>(thread));
    });
    for (int t = 1; t < context_.threads; ++t) {
      const double* other = p.sums + 2 * channels_ * static_cast<std::size_t>(t);
      for (std::size_t i = 0; i < 2 * channels_; ++i) p.sums[i] += other[i];
    }
  }

  // The channels' mean over the first tile. It is subtracted before summing, so that the sums stay small.
  void first_mean(const OpArgs& args, std::size_t rows, float* mean) const {
    const std::size_t some = std::min(rows, tile_ / channels_);
    for (std::size_t c = 0; c < channels_; ++c) {
      double total = 0;
      for (std::size_t r = 0; r < some; ++r) total += floats(args.x)[r * channels_ + c];
      mean[c] = some == 0 ? 0 : static_cast<float>(total / static_cast<double>(some));
    }
  }

  // Every rank's p.sums [2, c] and `positions`, [ranks, 2 c + 1].
  void gather_sums(const Layout& p, double positions) const {
    const std::size_t values = 2 * channels_ + 1;
    std::vector<std::size_t> borders;
    for (int r = 0; r <= ranks()->size(); ++r) borders.push_back(r * values * sizeof(double));
    double* own = p.of_ranks + ranks()->rank() * values;
    *std::copy_n(p.sums, 2 * channels_, own) = positions;
    ranks()->all_gather(p.of_ranks, borders);
  }

  // Makes p.sums, means and sums of squared deviations, those of all ranks (Chan, Golub and LeVeque 1979). Returns the number of
  // positions.
  double merge_statistics(const Layout& p, double positions) const {
    if (ranks() == nullptr) return positions;
    gather_sums(p, positions);
    std::fill_n(p.sums, 2 * channels_, 0.0);
    double all = 0;
    for (int r = 0; r < ranks()->size(); ++r) {
      const double* of_rank = p.of_ranks + r * (2 * channels_ + 1);
      const double more = of_rank[2 * channels_];
      if (more == 0) continue;
      for (std::size_t c = 0; c < channels_; ++c) {
        const double off = of_rank[c] - p.sums[c];
        p.sums[c] += off * more / (all + more);
        p.sums[channels_ + c] += of_rank[channels_ + c] + off * off * all * more / (all + more);
      }
      all += more;
    }
    return all;
  }

  void batch_statistics(const OpArgs& args, const Layout& p, float* mean, float* inv_std) const {
    const std::size_t rows = valid_positions(args);
    const auto own = static_cast<double>(std::max<std::size_t>(rows, 1));
    first_mean(args, rows, mean);
    fill(p.mean, mean);
    const Cut whole{rows, kPositions, true};
    sum(p, whole, [&](const NormLoop& loop, std::size_t first, const NormParts& parts, double* sums) {
      context_.loops.norm_sums(loop, floats(args.x) + first, parts.floats, sums);
    });
    for (std::size_t c = 0; c < channels_; ++c) {
      const double off = p.sums[c] / own;
      p.sums[c] = mean[c] + off;
      p.sums[channels_ + c] = std::max(p.sums[channels_ + c] - own * off * off, 0.0);
    }
    const double m = merge_statistics(p, static_cast<double>(rows));
    if (m == 0) std::fill_n(inv_std, channels_, 0.0F);
    if (m == 0) return;  // another rank has all rows of a last batch
    const auto momentum = static_cast<double>(norm_.momentum);
    for (std::size_t c = 0; c < channels_; ++c) {
      const double center = p.sums[c];
      const double squares = p.sums[channels_ + c];
      mean[c] = static_cast<float>(center);
      inv_std[c] = static_cast<float>(1 / std::sqrt(squares / m + static_cast<double>(norm_.epsilon)));
      const double unbiased = squares / (m > 1 ? m - 1 : m);
      args.running_mean[c] = static_cast<float>((1 - momentum) * args.running_mean[c] + momentum * center);
      args.running_variance[c] =
          static_cast<float>((1 - momentum) * args.running_variance[c] + momentum * unbiased);
    }
  }

  void run_forward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    float* mean = args.mode == Mode::training ? reinterpret_cast<float*>(args.saved) : p.statistics;
    float* inv_std = mean + channels_;
    if (args.mode == Mode::training) {
      batch_statistics(args, p, mean, inv_std);
    } else {
      for (std::size_t c = 0; c < channels_; ++c) {
        mean[c] = args.running_mean[c];
        inv_std[c] = 1 / std::sqrt(args.running_variance[c] + norm_.epsilon);
      }
    }
    fill_tables(args, p, mean, inv_std);
    const Cut all{static_cast<std::size_t>(batch()) * positions_, kPositions, true};
    for_parts(all, [&](int thread, std::size_t first, const NormParts& parts) {
      context_.loops.norm(loop_of(p, thread), floats(args.x) + first, floats(args.y) + first, parts);
    });
  }

  // Turns the sums into the gradients of gamma and beta and into the tables of their means.
  void finish_sums(const OpArgs& args, const Layout& p) const {
    for (std::size_t c = 0; c < channels_; ++c) {
      args.db[c] = static_cast<float>(p.sums[c]);
      if (args.dw != nullptr) args.dw[c] = static_cast<float>(p.sums[channels_ + c]);
    }
    std::size_t count = valid_positions(args);
    if (ranks() != nullptr) {
      count += args.state->others * positions_;
      gather_sums(p, 0);
      std::fill_n(p.sums, 2 * channels_, 0.0);
      for (int r = 0; r < ranks()->size(); ++r) {
        for (std::size_t i = 0; i < 2 * channels_; ++i) p.sums[i] += p.of_ranks[r * (2 * channels_ + 1) + i];
      }
    }
    const double inverse_count = 1 / static_cast<double>(std::max<std::size_t>(count, 1));
    float* mean_g = p.statistics;
    float* mean_gx = p.statistics + channels_;
    for (std::size_t c = 0; c < channels_; ++c) {
      mean_g[c] = static_cast<float>(p.sums[c] * inverse_count);
      mean_gx[c] = static_cast<float>(p.sums[channels_ + c] * inverse_count);
    }
    fill(p.mean_g, mean_g);
    fill(p.mean_gx, mean_gx);
  }

  void run_backward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    const auto* mean = reinterpret_cast<const float*>(args.saved);
    fill_tables(args, p, mean, mean + channels_);
    const Cut cut = cut_of(args);
    const float* x = floats(args.x);
    float* dx = floats(args.dx);
    sum(p, cut, [&](const NormLoop& loop, std::size_t first, const NormParts& parts, double* sums) {
      float* to = dx == nullptr ? nullptr : dx + first;
      context_.loops.norm_gradient(loop, x + first, floats(args.dy) + first, to, parts, sums);
    });
    finish_sums(args, p);
    if (dx == nullptr) return;
    for_parts(cut, [&](int thread, std::size_t first, const NormParts& parts) {
      context_.loops.norm_backward(loop_of(p, thread), p.mean_g, p.mean_gx, x + first, dx + first, parts);
    });
    if (!cut.positions) return rows_.clear_rest(args, norm_.x_map, positions_ * channels_ * sizeof(float));
    const std::size_t invalid = static_cast<std::size_t>(batch()) * positions_ - cut.count;
    std::memset(dx + cut.count * channels_, 0, invalid * channels_ * sizeof(float));
  }

  const CpuContext& context_;
  BatchNormDesc norm_;
  std::size_t channels_, positions_;
  std::size_t tile_;
  SelectedRows rows_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const BatchNormDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<BatchNorm>(context, desc, batch);
}

std::unique_ptr<Op> make_op(const CpuContext& /*context*/, const NormalisedDesc& desc, int /*batch*/,
                            bool /*wants_dx*/) {
  throw BackendError(describe(desc) + ": two ops on the CPU");
}

}  // namespace trainer::cpu
