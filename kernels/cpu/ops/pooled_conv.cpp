// Convolution + bias + ReLU + max pool. Forward has two implementations: oneDNN slice by slice, so that the map
// between convolution and pool, the largest array of the shipped networks, never reaches memory; and our own
// loops for few channels, which would leave the blocks of a general library half empty. Backward uses only the
// gradients at the pool's argmax (kernels/cpu/loops/sparse_conv_backward.cpp says why). A shard goes
// through its images one by one and sums their weight gradients in an array of its own.
#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cpu/onednn/conv_primitives.hpp"

namespace trainer::cpu {

namespace {

// Copies `count` floats of each row between arrays of different strides.
void copy_rows(const float* from, std::size_t from_stride, float* to, std::size_t to_stride, std::size_t rows,
               std::size_t count) {
  for (std::size_t r = 0; r < rows; ++r)
    std::memcpy(to + r * to_stride, from + r * from_stride, count * sizeof(float));
}

// Everything except forward.
class PooledConv : public Op {
 public:
  PooledConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : Op(desc, batch), context_(context), conv_(desc) {
    const int widest = context.loops.widest_lanes;
    if (desc.in.c > widest) bf16_ = context.bf16;  // fewer channels would fill half a vector or less
    const int lanes = bf16_ != nullptr ? bf16_->lanes : best_lanes(desc.in.c, widest);
    const int channels = (desc.in.c + lanes - 1) / lanes * lanes;
    const int width = desc.in.w + desc.pad.left + desc.pad.right;
    const int height = desc.in.h + desc.pad.top + desc.pad.bottom;
    loop_ = {desc.kernel, desc.stride, width, channels, lanes, desc.pool, out_shape(desc)};
    filter_floats_ = static_cast<std::size_t>(desc.out) * desc.kernel * desc.kernel * channels;
    image_floats_ = static_cast<std::size_t>(height) * width * channels;
    plain_ = image_floats_ == desc.in.size();
    constexpr std::size_t kMost = std::numeric_limits<std::int32_t>::max();  // offsets are 32-bit numbers
    if (filter_floats_ > kMost || image_floats_ > kMost) {
      throw BackendError(
          describe(desc) +
          ": too large for the CPU engine: more than 2^31 values in an image or a filter bank");
    }
    filters_ = HostBlock(filter_floats_ * sizeof(float));
    sums_ = ShardSums(batch, filter_floats_ + static_cast<std::size_t>(desc.out));
    context.scratch.reserve([&](auto& memory) { return lay_out(memory); });
  }

  std::size_t saved_bytes() const final {
    return static_cast<std::size_t>(batch()) * loop_.pooled.size();  // argmax [n, h, w, c]
  }
  bool reads_selected_rows() const final { return true; }

 protected:
  const CpuContext& context_;
  const ConvDesc conv_;

 private:
  struct Layout {  // a thread's
    float* image;  // padded [h, w, channels]: x, which may be bf16, then dx
    GradientLists lists;
  };
  Layout lay_out(HostAllocator& memory) const {
    const auto outputs = static_cast<std::size_t>(conv_.out);
    const std::size_t windows = static_cast<std::size_t>(loop_.pooled.h) * loop_.pooled.w;
    const auto positions = static_cast<std::size_t>(loop_.window.size) * loop_.window.size;
    const std::size_t groups = std::max(outputs, windows * std::min(positions, outputs));
    Layout p{};
    p.image = memory.take<float>(image_floats_);
    p.lists.entries = memory.take<GradientEntry>(loop_.pooled.size() + kSpareEntries);
    p.lists.count = memory.take<std::int32_t>(groups);
    p.lists.place = memory.take<std::int32_t>(groups);
    return p;
  }
  // [out, k, k, channels] for the loops; bf16 if bf16_ is used.
  float* filters() const { return reinterpret_cast<float*>(filters_.data()); }

  // Calls body(offset in the padded image, offset in the plain one) for each row.
  template <typename Body>
  void for_rows(const Body& body) const {
    const auto width = static_cast<std::size_t>(loop_.width);
    for (int y = 0; y < conv_.in.h; ++y) {
      const std::size_t pixel = (static_cast<std::size_t>(y) + conv_.pad.top) * width + conv_.pad.left;
      body(pixel * loop_.channels, static_cast<std::size_t>(y) * conv_.in.w * conv_.in.c);
    }
  }

  // Image n as the loops read it, in fp32 or bf16: in place, or padded and cast.
  const void* image_of(const OpArgs& args, std::size_t n, const Layout& p) const {
    if (conv_.x_map.bf16) return halves(args.x) + n * conv_.in.size();
    const float* x = floats(args.x) + n * conv_.in.size();
    if (bf16_ == nullptr && plain_) return x;
    auto* cast = reinterpret_cast<std::uint16_t*>(p.image);
    const bool overwritten = bf16_ != nullptr && conv_.pad == Border{};  // the cast fills whole vectors
    const std::size_t bytes = bf16_ != nullptr ? sizeof(std::uint16_t) : sizeof(float);
    if (!overwritten) std::memset(p.image, 0, image_floats_ * bytes);
    for_rows([&](std::size_t padded, std::size_t at) {
      bf16_ != nullptr
          ? bf16_->sparse_conv_image(x + at, cast + padded, conv_.in.c, static_cast<std::size_t>(conv_.in.w))
          : copy_rows(x + at, conv_.in.c, p.image + padded, loop_.channels, conv_.in.w, conv_.in.c);
    });
    return p.image;
  }

  // Adds the gradients of image n to dw and, behind it, db, and writes its dx if that is wanted.
  void backward(const OpArgs& args, std::size_t n, const Layout& p, float* dw) const {
    GradientLists lists = p.lists;
    const float* dy = floats(args.dy) + n * loop_.pooled.size();
    const std::uint8_t* argmax = argmax_of(args, n * loop_.pooled.size());
    const void* image = image_of(args, n, p);
    float* db = dw + filter_floats_;
    bf16_ != nullptr ? bf16_->sparse_conv_weights(loop_, lists, halves(image), dy, argmax, dw, db)
                     : context_.loops.sparse_conv_weights(loop_, lists, floats(image), dy, argmax, dw, db);
    if (args.dx == nullptr) return;
    const std::size_t first = n * conv_.in.size();
    const bool in_place = plain_ && !conv_.x_map.bf16;
    float* sums = in_place ? floats(args.dx) + first : p.image;
    std::memset(sums, 0, image_floats_ * sizeof(float));
    bf16_ != nullptr ? bf16_->sparse_conv_data(loop_, lists, halves(filters()), dy, argmax, sums)
                     : context_.loops.sparse_conv_data(loop_, lists, filters(), dy, argmax, sums);
    if (conv_.x_map.bf16) {
      bf16_->relu_backward(halves(args.x) + first, sums, halves(args.dx) + first, conv_.in.size());
    } else if (!in_place) {
      float* dx = floats(args.dx) + first;
      for_rows([&](std::size_t padded, std::size_t at) {
        copy_rows(sums + padded, loop_.channels, dx + at, conv_.in.c, conv_.in.w, conv_.in.c);
      });
    }
  }

  std::size_t taps() const { return filter_floats_ / static_cast<std::size_t>(loop_.channels); }

  void prepare_filters(const float* w) const {
    std::memset(filters(), 0, filter_floats_ * sizeof(float));
    if (bf16_ != nullptr) {
      bf16_->sparse_conv_filters(w, halves(static_cast<void*>(filters())), conv_.in.c, taps());
    } else {
      copy_rows(w, conv_.in.c, filters(), loop_.channels, taps(), conv_.in.c);
    }
  }

  void write_gradients(const OpArgs& args) const {
    const float* sums = sums_.add_up(context_.loops);
    if (bf16_ != nullptr) {
      bf16_->sparse_conv_gradients(sums, args.dw, conv_.in.c, taps());
    } else {
      copy_rows(sums, loop_.channels, args.dw, conv_.in.c, taps(), conv_.in.c);
    }
    if (conv_.bias) std::copy_n(sums + filter_floats_, conv_.out, args.db);
  }

  void run_backward(const OpArgs& args) final {
    if (args.dx != nullptr) context_.stream.opening(1, [this, w = args.w](int, int) { prepare_filters(w); });
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      const Layout p = context_.scratch.of(shard.worker, [&](auto& memory) { return lay_out(memory); });
      float* dw = sums_.cleared(shard.index);
      for (std::size_t n = shard.begin; n < shard.end; ++n) {
        if (is_selected(args, n)) backward(args, n, p, dw);
      }
      clear_rest(args, conv_.x_map, shard,
                 conv_.in.size() * (conv_.x_map.bf16 ? sizeof(std::uint16_t) : sizeof(float)));
    });
    context_.stream.closing(1, [this, args](int, int) { write_gradients(args); });
  }

  const Bf16Loops* bf16_ = nullptr;  // null: the loops for fp32
  SparseConvLoop loop_{};
  std::size_t filter_floats_, image_floats_;  // all filters, one padded image
  bool plain_;                                // an image needs no padding
  HostBlock filters_;
  ShardSums sums_;
};

class SlicedPooledConv final : public PooledConv {
 public:
  SlicedPooledConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : PooledConv(context, desc, batch),
        slices_(context, desc, batch, Directions::forward),
        w_(context, canonical_weights(desc), slices_.first().forward_weights()),
        pool_{conv_map(desc), desc.out, desc.pool, out_shape(desc), desc.relu} {
    context.scratch.reserve([&](auto& memory) { return lay_out(memory); });
  }

 private:
  struct Layout {
    ConvSlices::Layout slice;
    float* map;  // [slice, h, w, out]
  };
  Layout lay_out(HostAllocator& memory) const {
    const ConvSlices::Layout slice = slices_.lay_out(memory);
    return {slice, memory.take<float>(slices_.first().images() * slices_.map_floats())};
  }

  void run_forward(const OpArgs& args) override {
    w_.open(args.w);
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      const Layout p = context_.scratch.of(shard.worker, [&](auto& memory) { return lay_out(memory); });
      slices_.for_each(shard, [&](const ConvPrimitives& slice, std::size_t first) {
        slice.forward(slices_.x_operand(args.x, slice, first, p.slice.x), w_.of(args.w), args.b, p.map,
                      p.slice.scratch);
        const std::size_t at = first * pool_.out.size();
        context_.loops.maxpool(pool_, p.map, floats(args.y) + at, argmax_of(args, at), slice.images());
      });
    });
  }

  ConvSlices slices_;
  ConvertedWeights w_;
  PoolLoop pool_;
};

// The vector width that covers so many channels with the fewest vectors; among equals the narrowest.
int fewest_vectors(int channels, int widest) {
  int best = widest;
  for (int lanes = widest / 2; lanes >= kFewestLanes; lanes /= 2) {
    if ((channels + lanes - 1) / lanes <= (channels + best - 1) / best) best = lanes;
  }
  return best;
}

class FewChannelsConv final : public PooledConv {
 public:
  FewChannelsConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : PooledConv(context, desc, batch), taps_(desc.kernel * desc.kernel * desc.in.c) {
    const int lanes = fewest_vectors(desc.out, context.loops.widest_lanes);
    const int channels = (desc.out + lanes - 1) / lanes * lanes;
    const Shape map = conv_map(desc);
    forward_ = {map.h, map.w, desc.kernel, desc.in.c, channels, lanes, desc.relu, desc.pool, out_shape(desc)};
    filters_ = HostBlock((taps_ + 1) * static_cast<std::size_t>(channels) * sizeof(float));
  }

 private:
  void run_forward(const OpArgs& args) override {
    context_.stream.opening(
        1, [this, args](int, int) { transpose_filters(conv_, forward_.channels, args, w(), b()); });
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      for (std::size_t n = shard.begin; n < shard.end; ++n) {
        const std::size_t at = n * forward_.pooled.size();
        context_.loops.conv_pool(forward_, floats(args.x) + n * conv_.in.size(), w(), b(),
                                 floats(args.y) + at, argmax_of(args, at));
      }
    });
  }

  // Filters [3, 3, in, channels] and bias [channels].
  float* w() const { return reinterpret_cast<float*>(filters_.data()); }
  float* b() const { return w() + taps_ * static_cast<std::size_t>(forward_.channels); }

  ConvLoop forward_{};
  std::size_t taps_;
  HostBlock filters_;
};

}  // namespace

std::unique_ptr<Op> make_pooled_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<SlicedPooledConv>(context, desc, batch);
}

std::unique_ptr<Op> make_few_channels_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<FewChannelsConv>(context, desc, batch);
}

}  // namespace trainer::cpu
