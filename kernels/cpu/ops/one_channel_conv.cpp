// The first convolution of a grey image: one input channel, stride 1, nobody asks for its dx. Image by image,
// each thread convolves into a map of its own that stays in its cache, then pools it, or does both at once
// where the loops have that. The filters are kept as [k, k, channels], channels padded to whole vectors.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/parallel.hpp"
#include "kernels/cpu/runtime/selected_rows.hpp"

namespace trainer::cpu {

namespace {

class OneChannelConv final : public Op {
 public:
  OneChannelConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        conv_(desc),
        out_(out_shape(desc)),
        taps_(desc.kernel * desc.kernel),
        rows_(batch) {
    const Shape map = conv_map(desc);
    const int lanes = best_lanes(desc.out, context.loops.widest_lanes);
    const int channels = (desc.out + lanes - 1) / lanes * lanes;
    pools_at_once_ = has_one_channel_pool(desc.kernel, desc.pool);
    const bool relu = desc.relu && (!desc.pool || pools_at_once_);
    loop_ = {map.h, map.w, desc.kernel, channels, lanes, relu, desc.pool, out_};
    pool_ = {map, channels, desc.pool, out_, desc.relu};
    padded_floats_ = static_cast<std::size_t>(map.h + desc.kernel - 1) * (map.w + desc.kernel - 1);
    map_floats_ = static_cast<std::size_t>(map.h) * map.w * channels;
    direct_ = !desc.pool && channels == desc.out && !desc.y_map.bf16;
    pairs_ = context.bf16 != nullptr && has_bf16_one_channel_pool(loop_);
  }

  std::size_t workspace_bytes() const override {
    return HostAllocator::bytes([&](auto& memory) { lay_out(memory, 0); });
  }
  std::size_t saved_bytes() const override {
    return conv_.pool ? static_cast<std::size_t>(batch()) * out_.size() : 0;  // argmax positions [n, h, w, c]
  }
  bool reads_selected_rows() const override { return true; }

 private:
  struct Layout {
    float *w, *b;                    // [k, k, channels], [channels]: shared by the threads
    float *dw, *db;                  // one a thread, the first thread's come first
    float *padded, *map;             // this thread's
    std::uint16_t *w_pairs, *pairs;  // of w and of this thread's image, where bf16 multiplies
    std::size_t stride;              // from one thread's dw to the next
  };

  Layout lay_out(HostAllocator& memory, int thread) const {
    const std::size_t filter = static_cast<std::size_t>(taps_) * loop_.channels;
    const auto threads = static_cast<std::size_t>(context_.threads);
    Layout p{};
    p.w = memory.take<float>(filter);
    p.b = memory.take<float>(static_cast<std::size_t>(loop_.channels));
    p.stride = HostAllocator::aligned((filter + loop_.channels) * sizeof(float)) / sizeof(float);
    p.dw = memory.take<float>(p.stride * threads);
    const std::size_t padded = HostAllocator::aligned(padded_floats_ * sizeof(float)) / sizeof(float);
    const std::size_t map = HostAllocator::aligned(map_floats_ * sizeof(float)) / sizeof(float);
    const std::size_t pairs = pairs_ ? padded : 0;  // two values each
    p.w_pairs = reinterpret_cast<std::uint16_t*>(memory.take<float>(pairs_ ? filter : 0));
    float* own = memory.take<float>((padded + map + pairs) * threads);
    if (own == nullptr) return p;
    p.dw += p.stride * static_cast<std::size_t>(thread);
    p.db = p.dw + filter;
    p.padded = own + (padded + map + pairs) * static_cast<std::size_t>(thread);
    p.map = p.padded + padded;
    p.pairs = reinterpret_cast<std::uint16_t*>(p.map + map);
    return p;
  }

  Layout divided_up(const OpArgs& args, int thread) const {
    HostAllocator memory(args.workspace);
    return lay_out(memory, thread);
  }

  // Copies one image into the middle of its border of zeros.
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

  // w [out, k, k] to [k, k, channels]; lanes beyond `out` are zero.
  void transpose_in(const OpArgs& args, const Layout& p) const {
    std::memset(p.w, 0, static_cast<std::size_t>(taps_) * loop_.channels * sizeof(float));
    std::memset(p.b, 0, static_cast<std::size_t>(loop_.channels) * sizeof(float));
    for (int c = 0; c < conv_.out; ++c) {
      for (int t = 0; t < taps_; ++t) p.w[t * loop_.channels + c] = args.w[c * taps_ + t];
    }
    if (conv_.bias) std::copy_n(args.b, conv_.out, p.b);
    if (pairs_) context_.bf16->one_channel_pairs(p.w, conv_.kernel, conv_.kernel * loop_.channels, p.w_pairs);
  }

  const std::uint16_t* image_pairs(const float* image, const Layout& p) const {
    context_.bf16->one_channel_pairs(image, loop_.h + loop_.kernel - 1, loop_.w + loop_.kernel - 1, p.pairs);
    return p.pairs;
  }

  void run_forward(const OpArgs& args) override {
    transpose_in(args, divided_up(args, 0));
    std::uint8_t* winners = winners_of(args);
    parallel(static_cast<std::size_t>(batch()), 1, context_.threads, [&](const Range& range) {
      const Layout p = divided_up(args, range.thread);
      for (std::size_t n = range.begin; n < range.end; ++n) {
        float* y = floats(args.y) + n * out_.size();
        const float* image = pad(floats(args.x) + n * conv_.in.size(), p.padded);
        if (conv_.y_map.bf16) {
          bf16_forward(image, p, halves(args.y) + n * out_.size());
          continue;
        }
        std::uint8_t* winner = winners == nullptr ? nullptr : winners + n * out_.size();
        if (pairs_) {
          context_.bf16->one_channel_pool(loop_, image_pairs(image, p), p.w_pairs, p.b, y, winner);
          continue;
        }
        if (pools_at_once_) {
          context_.loops.one_channel_pool(loop_, image, p.w, p.b, y, winner);
          continue;
        }
        context_.loops.one_channel(loop_, image, p.w, p.b, direct_ ? y : p.map);
        if (conv_.pool) {
          context_.loops.maxpool(pool_, p.map, y, winner, 1);
        } else if (!direct_) {
          squeeze(p.map, y);
        }
      }
    });
  }

  // Calls body(loop, first row's place in the padded image and in the map) for strips of rows whose maps stay
  // in the innermost cache.
  template <typename Body>
  void for_each_strip(const Body& body) const {
    constexpr int kRows = 4;
    OneChannelLoop strip = loop_;
    for (int y = 0; y < loop_.h; y += strip.h) {
      strip.h = std::min(kRows, loop_.h - y);
      body(strip, static_cast<std::size_t>(y) * (loop_.w + loop_.kernel - 1),
           static_cast<std::size_t>(y) * loop_.w * loop_.channels);
    }
  }
  std::size_t floats_of(const OneChannelLoop& strip) const {
    return static_cast<std::size_t>(strip.h) * strip.w * strip.channels;
  }
  void bf16_forward(const float* image, const Layout& p, std::uint16_t* y) const {
    for_each_strip([&](const OneChannelLoop& strip, std::size_t pixel, std::size_t at) {
      context_.loops.one_channel(strip, image + pixel, p.w, p.b, p.map);
      context_.bf16->to_bf16(p.map, y + at, floats_of(strip));
    });
  }
  void bf16_backward(const float* image, const Layout& p, const std::uint16_t* dy) const {
    for_each_strip([&](const OneChannelLoop& strip, std::size_t pixel, std::size_t at) {
      context_.bf16->to_fp32(dy + at, p.map, floats_of(strip));
      context_.loops.one_channel_weights(strip, image + pixel, p.map, p.dw, p.db);
    });
  }

  // Between channels as stored and as they are.
  void squeeze(const float* map, float* y) const {
    for (std::size_t at = 0; at < out_.size();
         at += static_cast<std::size_t>(conv_.out), map += loop_.channels) {
      std::copy_n(map, conv_.out, y + at);
    }
  }
  void widen(const float* dy, float* dmap) const {
    std::memset(dmap, 0, map_floats_ * sizeof(float));
    for (std::size_t at = 0; at < out_.size();
         at += static_cast<std::size_t>(conv_.out), dmap += loop_.channels) {
      std::copy_n(dy + at, conv_.out, dmap);
    }
  }

  // The gradient of one image's map [h, w, channels].
  const float* map_gradient(const OpArgs& args, const Layout& p, std::size_t n) const {
    const std::size_t at = n * out_.size();
    const auto* winners = reinterpret_cast<const std::uint8_t*>(args.saved);
    if (conv_.pool) {
      context_.loops.maxpool_backward(pool_, floats(args.dy) + at, winners + at, p.map, 1);
      return p.map;
    }
    if (direct_ && !conv_.relu) return floats(args.dy) + at;
    if (direct_) {
      context_.loops.relu_backward(floats(args.y) + at, floats(args.dy) + at, p.map, 0, out_.size());
      return p.map;
    }
    widen(floats(args.dy) + at, p.map);
    if (!conv_.relu) return p.map;
    for (std::size_t i = 0; i < out_.size(); ++i) {
      if (!(floats(args.y)[at + i] > 0)) p.map[i / conv_.out * loop_.channels + i % conv_.out] = 0;
    }
    return p.map;
  }

  void run_backward(const OpArgs& args) override {
    const Layout first = divided_up(args, 0);
    const auto* winners = reinterpret_cast<const std::uint8_t*>(args.saved);
    std::memset(first.dw, 0, first.stride * static_cast<std::size_t>(context_.threads) * sizeof(float));
    rows_.read(args);
    parallel(rows_.count(), 1, context_.threads, [&](const Range& range) {
      const Layout p = divided_up(args, range.thread);
      for (std::size_t i = range.begin; i < range.end; ++i) {
        const std::size_t n = rows_[i];
        const float* image = pad(floats(args.x) + n * conv_.in.size(), p.padded);
        if (conv_.y_map.bf16) {
          bf16_backward(image, p, halves(args.dy) + n * out_.size());
          continue;
        }
        const std::size_t at = n * out_.size();
        if (pairs_) {
          context_.bf16->one_channel_pool_weights(loop_, image_pairs(image, p), floats(args.dy) + at,
                                                  winners + at, p.dw, p.db);
          continue;
        }
        if (pools_at_once_) {
          context_.loops.one_channel_pool_weights(loop_, image, floats(args.dy) + at, winners + at, p.dw,
                                                  p.db);
          continue;
        }
        context_.loops.one_channel_weights(loop_, image, map_gradient(args, p, n), p.dw, p.db);
      }
    });
    for (int t = 1; t < context_.threads; ++t) {
      context_.loops.add(first.dw + static_cast<std::size_t>(t) * first.stride, first.dw, 0, first.stride);
    }
    for (int c = 0; c < conv_.out; ++c) {
      for (int t = 0; t < taps_; ++t) args.dw[c * taps_ + t] = first.dw[t * loop_.channels + c];
    }
    if (conv_.bias) std::copy_n(first.db, conv_.out, args.db);
  }

  const CpuContext& context_;
  ConvDesc conv_;
  Shape out_;
  int taps_;
  SelectedRows rows_;
  OneChannelLoop loop_{};
  PoolLoop pool_{};
  std::size_t padded_floats_ = 0, map_floats_ = 0;  // of one image
  bool direct_ = false;                             // the map is y
  bool pools_at_once_ = false;
  bool pairs_ = false;  // at once in bf16
};

}  // namespace

bool is_one_channel_conv(const ConvDesc& desc, bool wants_dx) {
  return desc.in.c == 1 && desc.stride == 1 && !wants_dx;
}

bool can_write_bf16(const CpuContext& context, const ConvDesc& desc) {
  return context.bf16 != nullptr && desc.relu && !desc.pool && desc.out % context.bf16->lanes == 0;
}

std::unique_ptr<Op> make_one_channel_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<OneChannelConv>(context, desc, batch);
}

}  // namespace trainer::cpu
