// Batch normalisation, followed by GELU if the plan says so; op.hpp has the formulas. Each direction waits once: for the sums of
// all shards, which one thread adds up in their order.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/runtime/context.hpp"

namespace trainer::cpu {

namespace {

constexpr std::size_t kTile = 256;  // most floats per tile, unless there are more channels

class BatchNorm final : public Op {
 public:
  BatchNorm(const CpuContext& context, const BatchNormDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        norm_(desc),
        channels_(static_cast<std::size_t>(desc.in.c)),
        positions_(static_cast<std::size_t>(desc.in.h) * desc.in.w),
        tile_(channels_ * std::max<std::size_t>(kTile / channels_, 1)),
        shards_(static_cast<std::size_t>(shard_count(batch))),
        memory_(HostAllocator::bytes([&](auto& memory) { lay_out(memory); })) {
    HostAllocator memory(memory_.data());
    own_ = lay_out(memory);
    context.scratch.reserve([&](auto& memory) { return lay_out_scratch(memory); });
  }

  bool reads_selected_rows() const override { return true; }

 private:
  struct Layout {
    double* shards;    // [shards, 2 c + 1]: two sums per channel, and the positions
    double* sums;      // [2 c + 1]
    double* of_ranks;  // [ranks, 2 c + 1]
    float *mean, *inv_std, *gamma, *beta, *mean_g, *mean_gx;  // tables [tile]
  };
  Layout lay_out(HostAllocator& memory) const {
    Layout p{};
    p.shards = memory.take<double>(shards_ * values());
    p.sums = memory.take<double>(values());
    p.of_ranks = memory.take<double>(ranks() == nullptr ? 0 : ranks()->size() * values());
    for (float** table : {&p.mean, &p.inv_std, &p.gamma, &p.beta, &p.mean_g, &p.mean_gx})
      *table = memory.take<float>(tile_);
    return p;
  }
  struct ScratchLayout {
    float *tile_sums, *mean;  // [2, tile], [tile]
    std::uint32_t* rows;      // [a shard's rows]
  };
  ScratchLayout lay_out_scratch(HostAllocator& memory) const {
    const std::size_t rows = static_cast<std::size_t>(batch()) / shards_ + 1;
    return {memory.take<float>(2 * tile_), memory.take<float>(tile_), memory.take<std::uint32_t>(rows)};
  }
  ScratchLayout scratch(const Shard& shard) const {
    return context_.scratch.of(shard.worker, [&](auto& memory) { return lay_out_scratch(memory); });
  }

  std::size_t values() const { return 2 * channels_ + 1; }
  double* sums_of(std::size_t shard) const { return own_.shards + shard * values(); }
  std::size_t row_floats() const { return positions_ * channels_; }
  std::size_t valid_positions(const OpArgs& args) const { return args.state->valid * positions_; }
  Communicator* ranks() const { return context_.part.sync_batchnorm ? context_.part.ranks : nullptr; }

  // Repeats the values of the channels, with which the table begins.
  void repeat(float* table) const {
    for (std::size_t i = channels_; i < tile_; i += channels_) std::copy_n(table, channels_, table + i);
  }
  NormLoop loop(const ScratchLayout& scratch) const {
    return {channels_, tile_, norm_.gelu, own_.mean, own_.inv_std, own_.gamma, own_.beta, scratch.tile_sums};
  }
  void fill_tables(const OpArgs& args) const {
    std::fill_n(own_.gamma, tile_, 1.0F);
    if (args.w != nullptr) std::copy_n(args.w, channels_, own_.gamma);
    std::copy_n(args.b, channels_, own_.beta);
    for (float* table : {own_.mean, own_.inv_std, own_.beta, own_.gamma}) repeat(table);
  }

  // The shard's rows that hold an image: one part, or if rows are selected, those rows.
  struct Covered {
    std::size_t first;  // the float from which on the parts are counted
    NormParts parts;
  };
  Covered valid_rows(const OpArgs& args, const Shard& shard) const {
    static constexpr std::uint32_t kWhole = 0;
    const std::size_t end = std::min<std::size_t>(shard.end, args.state->valid);
    return {shard.begin * row_floats(),
            {&kWhole, 1, (std::max(end, shard.begin) - shard.begin) * row_floats()}};
  }
  Covered selected_rows(const OpArgs& args, const Shard& shard, const ScratchLayout& scratch) const {
    const Covered valid = valid_rows(args, shard);
    if (args.selected == nullptr) return valid;
    std::size_t count = 0;
    for (std::size_t n = shard.begin; n < shard.end; ++n) {
      scratch.rows[count] = static_cast<std::uint32_t>(n);
      count += args.selected[n] != 0 ? 1 : 0;
    }
    if (count * row_floats() == valid.parts.floats) return valid;
    return {0, {scratch.rows, count, row_floats()}};
  }

  // The channels' mean over the first tile. It is subtracted before summing, so that the sums stay small.
  void first_mean(const float* x, std::size_t positions, float* mean) const {
    const std::size_t some = std::min(positions, tile_ / channels_);
    for (std::size_t c = 0; c < channels_; ++c) {
      double total = 0;
      for (std::size_t r = 0; r < some; ++r) total += x[r * channels_ + c];
      mean[c] = some == 0 ? 0 : static_cast<float>(total / static_cast<double>(some));
    }
    repeat(mean);
  }

  // Makes the shard's sums its channels' means and sums of squared deviations.
  void sum_up(const OpArgs& args, const Shard& shard) const {
    const ScratchLayout own = scratch(shard);
    const Covered rows = valid_rows(args, shard);
    const float* x = floats(args.x) + rows.first;
    const std::size_t positions = rows.parts.floats / channels_;
    first_mean(x, positions, own.mean);
    double* sums = sums_of(static_cast<std::size_t>(shard.index));
    std::fill_n(sums, values(), 0.0);
    NormLoop loop = this->loop(own);
    loop.mean = own.mean;
    context_.loops.norm_sums(loop, x, rows.parts.floats, sums);
    const auto count = static_cast<double>(positions);
    for (std::size_t c = 0; c < channels_; ++c) {
      const double off = positions == 0 ? 0 : sums[c] / count;
      sums[c] = own.mean[c] + off;
      sums[channels_ + c] = std::max(sums[channels_ + c] - count * off * off, 0.0);
    }
    sums[2 * channels_] = count;
  }

  // own_.sums becomes what `count` arrays of means, sums of squared deviations and positions are together (Chan, Golub and LeVeque
  // 1979).
  void merge(const double* arrays, std::size_t count) const {
    double* merged = own_.sums;
    std::fill_n(merged, values(), 0.0);
    double& all = merged[2 * channels_];
    for (std::size_t i = 0; i < count; ++i, arrays += values()) {
      const double more = arrays[2 * channels_];
      if (more == 0) continue;
      const double part = more / (all + more);
      for (std::size_t c = 0; c < channels_; ++c) {
        const double off = arrays[c] - merged[c];
        merged[c] += off * part;
        merged[channels_ + c] += arrays[channels_ + c] + off * off * all * part;
      }
      all += more;
    }
  }

  // Every rank's own_.sums.
  void gather_sums() const {
    std::vector<std::size_t> borders;
    for (int r = 0; r <= ranks()->size(); ++r) borders.push_back(r * values() * sizeof(double));
    std::copy_n(own_.sums, values(), own_.of_ranks + ranks()->rank() * values());
    ranks()->all_gather(own_.of_ranks, borders);
  }

  void use_batch_statistics(const OpArgs& args) const {
    merge(own_.shards, shards_);
    if (ranks() != nullptr) {
      gather_sums();
      merge(own_.of_ranks, static_cast<std::size_t>(ranks()->size()));
    }
    const double m = own_.sums[2 * channels_];
    const auto momentum = static_cast<double>(norm_.momentum);
    for (std::size_t c = 0; c < channels_; ++c) {
      const double center = own_.sums[c];
      const double squares = own_.sums[channels_ + c];
      own_.mean[c] = static_cast<float>(center);
      own_.inv_std[c] =
          m == 0 ? 0 : static_cast<float>(1 / std::sqrt(squares / m + static_cast<double>(norm_.epsilon)));
      if (m == 0) continue;  // another rank has all rows of a last batch
      const double unbiased = squares / (m > 1 ? m - 1 : m);
      args.running_mean[c] = static_cast<float>((1 - momentum) * args.running_mean[c] + momentum * center);
      args.running_variance[c] =
          static_cast<float>((1 - momentum) * args.running_variance[c] + momentum * unbiased);
    }
    fill_tables(args);
  }

  void use_running_statistics(const OpArgs& args) const {
    for (std::size_t c = 0; c < channels_; ++c) {
      own_.mean[c] = args.running_mean[c];
      own_.inv_std[c] = 1 / std::sqrt(args.running_variance[c] + norm_.epsilon);
    }
    fill_tables(args);
  }

  void run_forward(const OpArgs& args) override {
    if (args.mode == Mode::training) {
      for_shards(context_, batch(), [this, args](const Shard& shard) { sum_up(args, shard); });
      context_.stream.serial([this, args] { use_batch_statistics(args); });
    } else {
      context_.stream.opening(1, [this, args](int, int) { use_running_statistics(args); });
    }
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      static constexpr std::uint32_t kWhole = 0;
      const std::size_t first = shard.begin * row_floats();
      context_.loops.norm(loop(scratch(shard)), floats(args.x) + first, floats(args.y) + first,
                          {&kWhole, 1, shard.rows() * row_floats()});
    });
  }

  void sum_gradients(const OpArgs& args, const Shard& shard) const {
    const ScratchLayout own = scratch(shard);
    const Covered rows = selected_rows(args, shard, own);
    double* sums = sums_of(static_cast<std::size_t>(shard.index));
    std::fill_n(sums, values(), 0.0);
    float* dx = args.dx == nullptr ? nullptr : floats(args.dx) + rows.first;
    context_.loops.norm_gradient(loop(own), floats(args.x) + rows.first, floats(args.dy) + rows.first, dx,
                                 rows.parts, sums);
  }

  // Turns the sums into the gradients of gamma and beta and into the tables of their means.
  void finish_sums(const OpArgs& args) const {
    const auto add_up = [this](const double* arrays, std::size_t count) {
      std::fill_n(own_.sums, values(), 0.0);
      for (; count > 0; --count, arrays += values())
        for (std::size_t i = 0; i < 2 * channels_; ++i) own_.sums[i] += arrays[i];
    };
    add_up(own_.shards, shards_);
    for (std::size_t c = 0; c < channels_; ++c) {
      args.db[c] = static_cast<float>(own_.sums[c]);
      if (args.dw != nullptr) args.dw[c] = static_cast<float>(own_.sums[channels_ + c]);
    }
    std::size_t count = valid_positions(args);
    if (ranks() != nullptr) {
      count += args.state->others * positions_;
      gather_sums();
      add_up(own_.of_ranks, static_cast<std::size_t>(ranks()->size()));
    }
    const double inverse_count = 1 / static_cast<double>(std::max<std::size_t>(count, 1));
    for (std::size_t i = 0; i < tile_; ++i) {
      own_.mean_g[i] = static_cast<float>(own_.sums[i % channels_] * inverse_count);
      own_.mean_gx[i] = static_cast<float>(own_.sums[channels_ + i % channels_] * inverse_count);
    }
  }

  void write_dx(const OpArgs& args, const Shard& shard) const {
    const ScratchLayout own = scratch(shard);
    const Covered rows = selected_rows(args, shard, own);
    context_.loops.norm_backward(loop(own), own_.mean_g, own_.mean_gx, floats(args.x) + rows.first,
                                 floats(args.dx) + rows.first, rows.parts);
    if (args.selected != nullptr) return clear_rest(args, norm_.x_map, shard, row_floats() * sizeof(float));
    const std::size_t valid = rows.first + rows.parts.floats;
    std::fill(floats(args.dx) + valid, floats(args.dx) + std::max(valid, shard.end * row_floats()), 0.0F);
  }

  void run_backward(const OpArgs& args) override {
    for_shards(context_, batch(), [this, args](const Shard& shard) { sum_gradients(args, shard); });
    context_.stream.serial([this, args] { finish_sums(args); });
    if (args.dx == nullptr) return;
    for_shards(context_, batch(), [this, args](const Shard& shard) { write_dx(args, shard); });
  }

  const CpuContext& context_;
  BatchNormDesc norm_;
  std::size_t channels_, positions_;
  std::size_t tile_, shards_;
  HostBlock memory_;
  Layout own_{};
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
