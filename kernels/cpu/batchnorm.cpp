// Batch normalisation. Sums over the batch are taken in double, one set a thread, added up in the order of
// the threads. With g = gain, s = 1 / sqrt(var + epsilon), xh = (x - mean) s and m valid positions:
//   dx = g s (dy - sum(dy) / m - xh sum(dy xh) / m),  dgain = sum(dy xh),  doffset = sum(dy)   (Ioffe and
//   Szegedy 2015)
#include <algorithm>
#include <cmath>

#include "kernels/cpu/context.hpp"
#include "kernels/cpu/parallel.hpp"

namespace trainer::cpu {

namespace {

class BatchNorm final : public Op {
 public:
  BatchNorm(const CpuContext& context, const BatchNormDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        norm_(desc),
        channels_(static_cast<std::size_t>(desc.in.c)),
        positions_(static_cast<std::size_t>(desc.in.h) * desc.in.w) {}

  std::size_t saved_bytes() const override { return 2 * channels_ * sizeof(float); }  // mean, then s
  std::size_t workspace_bytes() const override {
    return 2 * channels_ * static_cast<std::size_t>(context_.threads) * sizeof(double) +
           2 * channels_ * sizeof(float);
  }

 private:
  // Two sums per channel over the first `rows` positions; add(position's channels, sums) fills one thread's.
  template <typename Add>
  void sum(const OpArgs& args, std::size_t rows, const Add& add) const {
    auto* sums = reinterpret_cast<double*>(args.workspace);  // [threads, 2, c]
    std::fill_n(sums, 2 * channels_ * static_cast<std::size_t>(context_.threads), 0.0);
    parallel(rows, 64, context_.threads, [&](const Share& share) {
      double* own = sums + 2 * channels_ * static_cast<std::size_t>(share.thread);
      for (std::size_t r = share.begin; r < share.end; ++r) add(r * channels_, own);
    });
    for (int t = 1; t < context_.threads; ++t) {
      const double* other = sums + 2 * channels_ * static_cast<std::size_t>(t);
      for (std::size_t i = 0; i < 2 * channels_; ++i) sums[i] += other[i];
    }
  }

  std::size_t valid_positions(const OpArgs& args) const { return args.state->valid * positions_; }

  void batch_statistics(const OpArgs& args, float* mean, float* scale) const {
    const std::size_t rows = valid_positions(args);
    const auto m = static_cast<double>(rows);
    const auto* sums = reinterpret_cast<const double*>(args.workspace);
    sum(args, rows, [&](std::size_t at, double* own) {
      for (std::size_t c = 0; c < channels_; ++c) own[c] += floats(args.x)[at + c];
    });
    for (std::size_t c = 0; c < channels_; ++c) mean[c] = static_cast<float>(sums[c] / m);
    sum(args, rows, [&](std::size_t at, double* own) {
      for (std::size_t c = 0; c < channels_; ++c) {
        const double d = static_cast<double>(floats(args.x)[at + c]) - mean[c];
        own[c] += d * d;
      }
    });
    const auto momentum = static_cast<double>(norm_.momentum);
    for (std::size_t c = 0; c < channels_; ++c) {
      const double variance = sums[c] / m;
      const double unbiased = m > 1 ? sums[c] / (m - 1) : variance;
      scale[c] = static_cast<float>(1 / std::sqrt(variance + static_cast<double>(norm_.epsilon)));
      args.running_mean[c] = static_cast<float>((1 - momentum) * args.running_mean[c] + momentum * mean[c]);
      args.running_variance[c] =
          static_cast<float>((1 - momentum) * args.running_variance[c] + momentum * unbiased);
    }
  }

  void run_forward(const OpArgs& args) override {
    auto* sums = reinterpret_cast<double*>(args.workspace);
    auto* spare = reinterpret_cast<float*>(sums + 2 * channels_ * static_cast<std::size_t>(context_.threads));
    float* mean = args.mode == Mode::training ? reinterpret_cast<float*>(args.saved) : spare;
    float* scale = mean + channels_;
    if (args.mode == Mode::training) {
      batch_statistics(args, mean, scale);
    } else {
      for (std::size_t c = 0; c < channels_; ++c) {
        mean[c] = args.running_mean[c];
        scale[c] = 1 / std::sqrt(args.running_variance[c] + norm_.epsilon);
      }
    }
    parallel(static_cast<std::size_t>(batch()) * positions_, 64, context_.threads, [&](const Share& share) {
      for (std::size_t r = share.begin; r < share.end; ++r) {
        const std::size_t at = r * channels_;
        for (std::size_t c = 0; c < channels_; ++c) {
          floats(args.y)[at + c] = (floats(args.x)[at + c] - mean[c]) * scale[c] * args.w[c] + args.b[c];
        }
      }
    });
  }

  void run_backward(const OpArgs& args) override {
    const auto* mean = reinterpret_cast<const float*>(args.saved);
    const float* scale = mean + channels_;
    const std::size_t rows = valid_positions(args);
    const auto* sums = reinterpret_cast<const double*>(args.workspace);  // sum(dy), then sum(dy xh)
    sum(args, rows, [&](std::size_t at, double* own) {
      for (std::size_t c = 0; c < channels_; ++c) {
        const double dy = floats(args.dy)[at + c];
        own[c] += dy;
        own[channels_ + c] += dy * (static_cast<double>(floats(args.x)[at + c]) - mean[c]) * scale[c];
      }
    });
    for (std::size_t c = 0; c < channels_; ++c) {
      args.db[c] = static_cast<float>(sums[c]);
      args.dw[c] = static_cast<float>(sums[channels_ + c]);
    }
    if (args.dx == nullptr) return;
    const float inverse_count = 1 / static_cast<float>(rows);
    parallel(static_cast<std::size_t>(batch()) * positions_, 64, context_.threads, [&](const Share& share) {
      for (std::size_t r = share.begin; r < share.end; ++r) {
        const std::size_t at = r * channels_;
        for (std::size_t c = 0; c < channels_; ++c) {
          const float xh = (floats(args.x)[at + c] - mean[c]) * scale[c];
          const float dx = floats(args.dy)[at + c] - (args.db[c] + xh * args.dw[c]) * inverse_count;
          floats(args.dx)[at + c] = r < rows ? args.w[c] * scale[c] * dx : 0;
        }
      }
    });
  }

  const CpuContext& context_;
  BatchNormDesc norm_;
  std::size_t channels_, positions_;
};

}  // namespace

std::unique_ptr<Op> make_batchnorm(const CpuContext& context, const BatchNormDesc& desc, int batch) {
  return std::make_unique<BatchNorm>(context, desc, batch);
}

}  // namespace trainer::cpu
