// The first convolution of grey images: one input channel, stride 1, no dx. A shard's images are
// convolved one by one into a map that stays in the thread's cache, then pooled, or both is done at once if the loops support that. The filters are stored as [k, k, channels], with channels padded to whole vectors.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/runtime/context.hpp"

namespace trainer::cpu {

namespace {

class OneChannelConv final : public Op {
 public:
  OneChannelConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        conv_(desc),
        out_(out_shape(desc)),
        taps_(desc.kernel * desc.kernel) {
    const Shape map = conv_map(desc);
    const int lanes = best_lanes(desc.out, context.loops.widest_lanes);
    const int channels = (desc.out + lanes - 1) / lanes * lanes;
    pools_at_once_ = has_conv_pool(1, desc.kernel, desc.pool);
    const bool relu = desc.relu && (!desc.pool || pools_at_once_);
    loop_ = {map.h, map.w, desc.kernel, 1, channels, lanes, relu, desc.pool, out_};
    pool_ = {map, channels, desc.pool, out_, desc.relu};
    padded_floats_ = static_cast<std::size_t>(map.h + desc.kernel - 1) * (map.w + desc.kernel - 1);
    map_floats_ = static_cast<std::size_t>(map.h) * map.w * channels;
    pairs_ = context.bf16 != nullptr && has_bf16_conv_pool(loop_);
    filters_memory_ = HostBlock(HostAllocator::bytes([&](auto& memory) { lay_out_filters(memory); }));
    HostAllocator memory(filters_memory_.data());
    filters_ = lay_out_filters(memory);
    sums_ = ShardSums(batch, filter_floats() + static_cast<std::size_t>(channels));
    context.scratch.reserve([&](auto& memory) { return lay_out(memory); });
  }

  std::size_t saved_bytes() const override {
    return conv_.pool ? static_cast<std::size_t>(batch()) * out_.size() : 0;  // argmax [n, h, w, c]
  }
  bool reads_selected_rows() const override { return true; }

 private:
  struct Filters {
    float *w, *b;            // [k, k, channels], [channels]
    std::uint16_t* w_pairs;  // the pairs of w, for bf16 products
  };
  struct Layout {  // a thread's
    float *padded, *map;
    std::uint16_t* pairs;  // the pairs of an image, for bf16 products
  };

  std::size_t filter_floats() const { return static_cast<std::size_t>(taps_) * loop_.channels; }
  Filters lay_out_filters(HostAllocator& memory) const {
    Filters p{};
    p.w = memory.take<float>(filter_floats());
    p.b = memory.take<float>(static_cast<std::size_t>(loop_.channels));
    p.w_pairs = memory.take<std::uint16_t>(pairs_ ? 2 * filter_floats() : 0);
    return p;
  }
  Layout lay_out(HostAllocator& memory) const {
    Layout p{};
    p.padded = memory.take<float>(padded_floats_);
    p.map = memory.take<float>(map_floats_);
    p.pairs = memory.take<std::uint16_t>(pairs_ ? 2 * padded_floats_ : 0);
    return p;
  }
  Layout layout(const Shard& shard) const {
    return context_.scratch.of(shard.worker, [&](auto& memory) { return lay_out(memory); });
  }
  // The sums of a shard's gradients: those of w, then those of b.
  struct Sums {
    float *dw, *db;
  };
  Sums sums_at(float* sums) const { return {sums, sums + filter_floats()}; }

  // Copies one image into a border of zeros.
  const float* pad(const float* x, float* padded) const {
    const Border& pad = conv_.pad;
    if (pad == Border{}) return x;
    const auto width = static_cast<std::size_t>(loop_.w + loop_.kernel - 1);
    std::memset(padded, 0, padded_floats_ * sizeof(float));
    for (int row = 0; row < conv_.in.h; ++row) {
      std::copy_n(x + static_cast<std::size_t>(row) * conv_.in.w, conv_.in.w,
                  padded + (static_cast<std::size_t>(row) + pad.top) * width + pad.left);
    }
    return padded;
  }

  const std::uint16_t* image_pairs(const float* image, const Layout& p) const {
    context_.bf16->one_channel_pairs(image, loop_.h + loop_.kernel - 1, loop_.w + loop_.kernel - 1, p.pairs);
    return p.pairs;
  }

  void forward(const OpArgs& args, const Layout& p, std::size_t n) const {
    const std::size_t at = n * out_.size();
    const float* image = pad(floats(args.x) + n * conv_.in.size(), p.padded);
    if (conv_.y_map.bf16) return bf16_forward(image, p, halves(args.y) + at);
    float* y = floats(args.y) + at;
    std::uint8_t* argmax = conv_.pool ? argmax_of(args, at) : nullptr;
    if (pairs_)
      return context_.bf16->conv_pool(loop_, image_pairs(image, p), filters_.w_pairs, filters_.b, y, argmax);
    if (pools_at_once_) return context_.loops.conv_pool(loop_, image, filters_.w, filters_.b, y, argmax);
    context_.loops.one_channel(loop_, image, filters_.w, filters_.b, conv_.pool ? p.map : y);
    if (conv_.pool) context_.loops.maxpool(pool_, p.map, y, argmax, 1);
  }

  void prepare_filters(const OpArgs& args) const {
    transpose_filters(conv_, loop_.channels, args, filters_.w, filters_.b);
    if (pairs_)
      context_.bf16->one_channel_pairs(filters_.w, conv_.kernel, conv_.kernel * loop_.channels,
                                       filters_.w_pairs);
  }

  void run_forward(const OpArgs& args) override {
    context_.stream.opening(1, [this, args](int, int) { prepare_filters(args); });
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      const Layout p = layout(shard);
      for (std::size_t n = shard.begin; n < shard.end; ++n) forward(args, p, n);
    });
  }

  // Calls body(loop, offset of the first row in the padded image, its offset in the map) for strips of rows
  // whose maps stay in the L1 cache.
  template <typename Body>
  void for_each_strip(const Body& body) const {
    constexpr int kRows = 4;
    ConvLoop strip = loop_;
    for (int y = 0; y < loop_.h; y += strip.h) {
      strip.h = std::min(kRows, loop_.h - y);
      body(strip, y * (loop_.w + loop_.kernel - 1), y * loop_.w * loop_.channels);
    }
  }
  std::size_t floats_of(const ConvLoop& strip) const { return strip.h * strip.w * strip.channels; }
  void bf16_forward(const float* image, const Layout& p, std::uint16_t* y) const {
    for_each_strip([&](const ConvLoop& strip, std::size_t pixel, std::size_t at) {
      context_.loops.one_channel(strip, image + pixel, filters_.w, filters_.b, p.map);
      context_.bf16->to_bf16(p.map, y + at, floats_of(strip));
    });
  }
  void bf16_backward(const float* image, const Layout& p, const std::uint16_t* dy, const Sums& sums) const {
    for_each_strip([&](const ConvLoop& strip, std::size_t pixel, std::size_t at) {
      context_.bf16->to_fp32(dy + at, p.map, floats_of(strip));
      context_.loops.one_channel_weights(strip, image + pixel, p.map, sums.dw, sums.db);
    });
  }

  // The gradient of one image's map [h, w, channels].
  const float* map_gradient(const OpArgs& args, const Layout& p, std::size_t n) const {
    const std::size_t at = n * out_.size();
    const float* dy = floats(args.dy) + at;
    if (conv_.pool) {
      context_.loops.maxpool_backward(pool_, dy, argmax_of(args, at), p.map, 1);
    } else if (conv_.relu) {
      context_.loops.relu_backward(floats(args.y) + at, dy, p.map, 0, out_.size());
    } else {
      return dy;
    }
    return p.map;
  }

  // Adds the gradients of image n to the sums.
  void backward(const OpArgs& args, const Layout& p, std::size_t n, const Sums& sums) const {
    const std::size_t at = n * out_.size();
    const float* image = pad(floats(args.x) + n * conv_.in.size(), p.padded);
    if (conv_.y_map.bf16) return bf16_backward(image, p, halves(args.dy) + at, sums);
    const float* dy = floats(args.dy) + at;
    const std::uint8_t* argmax = conv_.pool ? argmax_of(args, at) : nullptr;
    if (pairs_) {
      context_.bf16->one_channel_pool_weights(loop_, image_pairs(image, p), dy, argmax, sums.dw, sums.db);
    } else if (pools_at_once_) {
      context_.loops.one_channel_pool_weights(loop_, image, dy, argmax, sums.dw, sums.db);
    } else {
      context_.loops.one_channel_weights(loop_, image, map_gradient(args, p, n), sums.dw, sums.db);
    }
  }

  void write_gradients(const OpArgs& args) const {
    const Sums sums = sums_at(sums_.add_up(context_.loops));
    for (int c = 0; c < conv_.out; ++c) {
      for (int t = 0; t < taps_; ++t) args.dw[c * taps_ + t] = sums.dw[t * loop_.channels + c];
    }
    if (conv_.bias) std::copy_n(sums.db, conv_.out, args.db);
  }

  void run_backward(const OpArgs& args) override {
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      const Layout p = layout(shard);
      const Sums sums = sums_at(sums_.cleared(shard.index));
      for (std::size_t n = shard.begin; n < shard.end; ++n) {
        if (is_selected(args, n)) backward(args, p, n, sums);
      }
    });
    context_.stream.closing(1, [this, args](int, int) { write_gradients(args); });
  }

  const CpuContext& context_;
  ConvDesc conv_;
  Shape out_;
  int taps_;
  ConvLoop loop_{};
  PoolLoop pool_{};
  std::size_t padded_floats_ = 0, map_floats_ = 0;  // per image
  bool pools_at_once_ = false;
  bool pairs_ = false;  // convolution and pool at once in bf16
  HostBlock filters_memory_;
  Filters filters_{};
  ShardSums sums_;
};

}  // namespace

void transpose_filters(const ConvDesc& desc, int channels, const OpArgs& args, float* w, float* b) {
  const int taps = desc.kernel * desc.kernel * desc.in.c;
  std::fill_n(w, static_cast<std::size_t>(taps) * channels, 0.0F);
  std::fill_n(b, channels, 0.0F);
  for (int c = 0; c < desc.out; ++c) {
    for (int t = 0; t < taps; ++t) w[t * channels + c] = args.w[c * taps + t];
  }
  if (desc.bias) std::copy_n(args.b, desc.out, b);
}

std::unique_ptr<Op> make_one_channel_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<OneChannelConv>(context, desc, batch);
}

}  // namespace trainer::cpu
