// Convolution + bias + ReLU + max pool of a map of few channels, which leave a general library's blocks half
// empty. Forward is loops/few_channels.cpp; backward walks the pool's argmax positions (winner_backward.hpp).
#include <algorithm>
#include <cstring>

#include "kernels/cpu/ops/winner_backward.hpp"
#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/parallel.hpp"

namespace trainer::cpu {

namespace {

// The width of the vectors that are the fewest for so many channels; of equals the narrowest.
int fewest_vectors(int channels, int widest) {
  int best = widest;
  for (int lanes = widest / 2; lanes >= 4; lanes /= 2) {
    if ((channels + lanes - 1) / lanes <= (channels + best - 1) / best) best = lanes;
  }
  return best;
}

class FewChannelsConv final : public Op {
 public:
  FewChannelsConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : Op(desc, batch), context_(context), conv_(desc), backward_(context, desc), rows_(batch) {
    const int lanes = fewest_vectors(desc.out, context.loops.widest_lanes);
    const int channels = (desc.out + lanes - 1) / lanes * lanes;
    loop_ = {desc.in.w, desc.in.c, channels, lanes, desc.relu, out_shape(desc)};
    taps_ = static_cast<std::size_t>(desc.kernel) * desc.kernel * desc.in.c;
  }

  std::size_t workspace_bytes() const override {
    return std::max(HostAllocator::bytes([&](auto& memory) { lay_out(memory); }),
                    backward_.workspace_bytes());
  }
  std::size_t saved_bytes() const override {
    return static_cast<std::size_t>(batch()) * loop_.pooled.size();  // argmax positions [n, h, w, c]
  }
  bool reads_selected_rows() const override { return true; }

 private:
  struct Layout {
    float *w, *b;  // [3, 3, in, channels], [channels]
  };
  Layout lay_out(HostAllocator& memory) const {
    const auto channels = static_cast<std::size_t>(loop_.channels);
    float* w = memory.take<float>(taps_ * channels);
    return {w, memory.take<float>(channels)};
  }

  // w [out, 3, 3, in] turned; channels beyond `out` are zero.
  void turn(const OpArgs& args, const Layout& p) const {
    const auto channels = static_cast<std::size_t>(loop_.channels);
    const auto out = static_cast<std::size_t>(conv_.out);
    if (channels != out) std::memset(p.w, 0, taps_ * channels * sizeof(float));
    for (std::size_t t = 0; t < taps_; ++t) {
      for (std::size_t k = 0; k < out; ++k) p.w[t * channels + k] = args.w[k * taps_ + t];
    }
    std::memset(p.b, 0, channels * sizeof(float));
    if (conv_.bias) std::copy_n(args.b, out, p.b);
  }

  void run_forward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    turn(args, p);
    std::uint8_t* winners = winners_of(args);
    parallel(static_cast<std::size_t>(batch()), 1, context_.threads, [&](const Range& range) {
      for (std::size_t n = range.begin; n < range.end; ++n) {
        const std::size_t at = n * loop_.pooled.size();
        context_.loops.few_channels_pool(loop_, floats(args.x) + n * conv_.in.size(), p.w, p.b,
                                         floats(args.y) + at, winners == nullptr ? nullptr : winners + at);
      }
    });
  }

  void run_backward(const OpArgs& args) override {
    rows_.read(args);
    backward_.run({floats(args.x), args.w, floats(args.dy), reinterpret_cast<const std::uint8_t*>(args.saved),
                   args.dw, conv_.bias ? args.db : nullptr, floats(args.dx), args.workspace, rows_});
    rows_.clear_rest(args, conv_.x_map, conv_.in.size() * sizeof(float));
  }

  const CpuContext& context_;
  ConvDesc conv_;
  WinnerBackward backward_;
  SelectedRows rows_;
  FewChannelsLoop loop_{};
  std::size_t taps_ = 0;
};

}  // namespace

bool is_few_channels_conv(const CpuContext& context, const ConvDesc& desc) {
  return context.bf16 == nullptr && desc.kernel == 3 && desc.stride == 1 && desc.pad == Border{} &&
         desc.pool == Window{2, 2} && (desc.in.c == 8 || desc.in.c == 16);
}

std::unique_ptr<Op> make_few_channels_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<FewChannelsConv>(context, desc, batch);
}

}  // namespace trainer::cpu
