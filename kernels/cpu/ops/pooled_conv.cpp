// Convolution + bias + ReLU + max pool. Forward has two implementations: oneDNN slice by slice, so that the map
// between convolution and pool, the largest array of the shipped networks, never reaches memory; and our own
// loops for few channels, which would leave the blocks of a general library half empty. Backward uses only the
// gradients at the pool's argmax (kernels/cpu/loops/sparse_conv_backward.cpp says why). Each thread goes through
// its images one by one and sums their weight gradients in an array of its own; these are added up in thread order.
#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cpu/onednn/conv_primitives.hpp"
#include "kernels/cpu/runtime/selected_rows.hpp"

namespace trainer::cpu {

namespace {

// Copies `count` floats of each row between arrays of different strides.
void copy_rows(const float* from, std::size_t from_stride, float* to, std::size_t to_stride, std::size_t rows,
               std::size_t count) {
  for (std::size_t r = 0; r < rows; ++r)
    std::memcpy(to + r * to_stride, from + r * from_stride, count * sizeof(float));
}

// Everything except forward.
class PooledConv : public ProductOp {
 public:
  PooledConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : ProductOp(context, desc, batch, canonical_weights(desc)), conv_(desc), rows_(batch) {
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
  }

  std::size_t workspace_bytes() const final {
    return std::max(forward_bytes(), HostAllocator::bytes([&](auto& memory) { lay_out(memory, 0); }));
  }
  std::size_t saved_bytes() const final {
    return static_cast<std::size_t>(batch()) * loop_.pooled.size();  // argmax [n, h, w, c]
  }
  bool reads_selected_rows() const final { return true; }

 protected:
  const ConvDesc conv_;

 private:
  virtual std::size_t forward_bytes() const = 0;  // the workspace of forward

  struct Layout {
    float *plain_w, *plain_dw;  // canonical, if the weights are stored in another layout
    float* w;                   // [out, k, k, channels] for the loops; bf16 if bf16_ is used
    float* dw;                  // this thread's, like w; then db [out]
    float* image;               // this thread's, padded [h, w, channels]: x, which may be bf16, then dx
    GradientLists lists;        // this thread's
  };
  Layout lay_out(HostAllocator& memory, int thread) const {
    const auto outputs = static_cast<std::size_t>(conv_.out);
    const std::size_t windows = static_cast<std::size_t>(loop_.pooled.h) * loop_.pooled.w;
    const auto positions = static_cast<std::size_t>(loop_.window.size) * loop_.window.size;
    const std::size_t groups = std::max(outputs, windows * std::min(positions, outputs));
    const std::size_t plain = stored_ == canonical_ ? 0 : canonical_.get_size() / sizeof(float);
    Layout own{};
    Layout p{};
    p.plain_w = memory.take<float>(plain);
    p.plain_dw = memory.take<float>(plain);
    p.w = memory.take<float>(filter_floats_);
    for (int t = 0; t < context_.threads; ++t) {
      p.dw = memory.take<float>(filter_floats_ + outputs);
      p.image = memory.take<float>(image_floats_);
      p.lists.entries = memory.take<GradientEntry>(loop_.pooled.size() + kSpareEntries);
      p.lists.count = memory.take<std::int32_t>(groups);
      p.lists.place = memory.take<std::int32_t>(groups);
      if (t == thread) own = p;
    }
    return own;
  }

  Layout layout(const OpArgs& args, int thread) const {
    HostAllocator memory(args.workspace);
    return lay_out(memory, thread);
  }

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

  // Adds the gradients of image n to the thread's dw and db, and writes its dx if that is wanted.
  void backward(const OpArgs& args, std::size_t n, const Layout& p) const {
    GradientLists lists = p.lists;
    const float* dy = floats(args.dy) + n * loop_.pooled.size();
    const std::uint8_t* argmax = argmax_of(args, n * loop_.pooled.size());
    const void* image = image_of(args, n, p);
    float* db = p.dw + filter_floats_;
    bf16_ != nullptr ? bf16_->sparse_conv_weights(loop_, lists, halves(image), dy, argmax, p.dw, db)
                     : context_.loops.sparse_conv_weights(loop_, lists, floats(image), dy, argmax, p.dw, db);
    if (args.dx == nullptr) return;
    const std::size_t first = n * conv_.in.size();
    const bool in_place = plain_ && !conv_.x_map.bf16;
    float* sums = in_place ? floats(args.dx) + first : p.image;
    std::memset(sums, 0, image_floats_ * sizeof(float));
    bf16_ != nullptr ? bf16_->sparse_conv_data(loop_, lists, halves(p.w), dy, argmax, sums)
                     : context_.loops.sparse_conv_data(loop_, lists, p.w, dy, argmax, sums);
    if (conv_.x_map.bf16) {
      bf16_->relu_backward(halves(args.x) + first, sums, halves(args.dx) + first, conv_.in.size());
    } else if (!in_place) {
      float* dx = floats(args.dx) + first;
      for_rows([&](std::size_t padded, std::size_t at) {
        copy_rows(sums + padded, loop_.channels, dx + at, conv_.in.c, conv_.in.w, conv_.in.c);
      });
    }
  }

  void prepare_filters(const OpArgs& args, const Layout& p) const {
    const std::size_t taps = filter_floats_ / static_cast<std::size_t>(loop_.channels);
    const auto* w = static_cast<const float*>(weights_as(context_, stored_, args.w, canonical_, p.plain_w));
    std::memset(p.w, 0, filter_floats_ * sizeof(float));
    if (bf16_ != nullptr) {
      bf16_->sparse_conv_filters(w, reinterpret_cast<std::uint16_t*>(p.w), conv_.in.c, taps);
    } else {
      copy_rows(w, conv_.in.c, p.w, loop_.channels, taps, conv_.in.c);
    }
  }

  void write_dw(const OpArgs& args, const Layout& p) const {
    const std::size_t taps = filter_floats_ / static_cast<std::size_t>(loop_.channels);
    const bool in_place = stored_ == canonical_;
    float* dw = in_place ? args.dw : p.plain_dw;
    if (bf16_ != nullptr) {
      bf16_->sparse_conv_gradients(p.dw, dw, conv_.in.c, taps);
    } else {
      copy_rows(p.dw, loop_.channels, dw, conv_.in.c, taps, conv_.in.c);
    }
    if (!in_place) context_.dnn.reorder(canonical_, dw, stored_, args.dw);
    if (conv_.bias) std::copy_n(p.dw + filter_floats_, conv_.out, args.db);
  }

  void run_backward(const OpArgs& args) final {
    const Layout first = layout(args, 0);
    const std::size_t sums = filter_floats_ + static_cast<std::size_t>(conv_.out);
    rows_.read(args);
    if (args.dx != nullptr) prepare_filters(args, first);
    sum_over_threads(
        context_, rows_.count(), sums, [&](int thread) { return layout(args, thread).dw; },
        [&](const Range& range) {
          const Layout p = layout(args, range.thread);
          for (std::size_t i = range.begin; i < range.end; ++i) backward(args, rows_[i], p);
        });
    write_dw(args, first);
    rows_.clear_rest(args, conv_.x_map,
                     conv_.in.size() * (conv_.x_map.bf16 ? sizeof(std::uint16_t) : sizeof(float)));
  }

  const Bf16Loops* bf16_ = nullptr;  // null: the loops for fp32
  SparseConvLoop loop_{};
  std::size_t filter_floats_, image_floats_;  // all filters, one padded image
  bool plain_;                                // an image needs no padding
  SelectedRows rows_;
};

class SlicedPooledConv final : public PooledConv {
 public:
  SlicedPooledConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : PooledConv(context, desc, batch),
        slices_(context, desc, batch, Directions::forward),
        pool_{conv_map(desc), desc.out, desc.pool, out_shape(desc), desc.relu} {
    if (context.bf16 == nullptr) stored_ = slices_.first().forward_weights();
  }

 private:
  struct Layout {
    ConvSlices::Layout slice;
    float* map;  // [slice, h, w, out]
  };
  Layout lay_out(HostAllocator& memory) const {
    return {slices_.lay_out(memory, stored_),
            memory.take<float>(slices_.first().images() * slices_.map_floats())};
  }
  std::size_t forward_bytes() const override {
    return HostAllocator::bytes([&](auto& memory) { lay_out(memory); });
  }

  void run_forward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    const void* w = weights_as(context_, stored_, args.w, slices_.first().forward_weights(), p.slice.w);
    slices_.for_each([&](const ConvPrimitives& slice, std::size_t first) {
      slice.forward(slices_.x_operand(args.x, slice, first, p.slice.x), w, args.b, p.map, p.slice.scratch);
      parallel(slice.images(), 1, context_.threads, [&](const Range& range) {
        const std::size_t at = (first + range.begin) * pool_.out.size();
        context_.loops.maxpool(pool_, p.map + range.begin * slices_.map_floats(), floats(args.y) + at,
                               argmax_of(args, at), range.end - range.begin);
      });
    });
  }

  ConvSlices slices_;
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
  }

 private:
  struct Layout {
    float *w, *b;  // [3, 3, in, channels], [channels]
  };
  Layout lay_out(HostAllocator& memory) const {
    const auto channels = static_cast<std::size_t>(forward_.channels);
    float* w = memory.take<float>(taps_ * channels);
    return {w, memory.take<float>(channels)};
  }
  std::size_t forward_bytes() const override {
    return HostAllocator::bytes([&](auto& memory) { lay_out(memory); });
  }

  void run_forward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    transpose_filters(conv_, forward_.channels, args, p.w, p.b);
    parallel(static_cast<std::size_t>(batch()), 1, context_.threads, [&](const Range& range) {
      for (std::size_t n = range.begin; n < range.end; ++n) {
        const std::size_t at = n * forward_.pooled.size();
        context_.loops.conv_pool(forward_, floats(args.x) + n * conv_.in.size(), p.w, p.b,
                                 floats(args.y) + at, argmax_of(args, at));
      }
    });
  }

  ConvLoop forward_{};
  std::size_t taps_;
};

}  // namespace

std::unique_ptr<Op> make_pooled_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<SlicedPooledConv>(context, desc, batch);
}

std::unique_ptr<Op> make_few_channels_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<FewChannelsConv>(context, desc, batch);
}

}  // namespace trainer::cpu
