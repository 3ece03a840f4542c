// Forward of a pooled convolution of few channels, which leave the blocks of a general library half empty
// (loops/few_channels.cpp).
#include <algorithm>
#include <cstring>

#include "kernels/cpu/ops/pooled_conv.hpp"

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

class FewChannelsConv final : public PooledConv {
 public:
  FewChannelsConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : PooledConv(context, desc, batch),
        taps_(static_cast<std::size_t>(desc.kernel) * desc.kernel * desc.in.c) {
    const int lanes = fewest_vectors(desc.out, context.loops.widest_lanes);
    const int channels = (desc.out + lanes - 1) / lanes * lanes;
    loop_ = {desc.in.w, desc.in.c, channels, lanes, desc.relu, out_shape(desc)};
  }

 private:
  struct Pieces {
    float *w, *b;  // [3, 3, in, channels], [channels]
  };
  Pieces take_pieces(HostAllocator& memory) const {
    const auto channels = static_cast<std::size_t>(loop_.channels);
    float* w = memory.take<float>(taps_ * channels);
    return {w, memory.take<float>(channels)};
  }
  std::size_t forward_bytes() const override {
    return HostAllocator::bytes([&](auto& memory) { take_pieces(memory); });
  }

  // Transposes w [out, 3, 3, in]; channels beyond `out` are zero.
  void transpose_in(const OpArgs& args, const Pieces& p) const {
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
    const Pieces p = take_pieces(memory);
    transpose_in(args, p);
    parallel(static_cast<std::size_t>(batch()), 1, context_.threads, [&](const Share& share) {
      for (std::size_t n = share.begin; n < share.end; ++n) {
        const std::size_t at = n * loop_.pooled.size();
        context_.loops.few_channels_pool(loop_, floats(args.x) + n * conv_.in.size(), p.w, p.b,
                                         floats(args.y) + at, argmax_of(args, at));
      }
    });
  }

  FewChannelsLoop loop_{};
  std::size_t taps_;
};

}  // namespace

std::unique_ptr<Op> make_few_channels_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<FewChannelsConv>(context, desc, batch);
}

}  // namespace trainer::cpu
