// Padding, threads and sums around the loops of loops/sparse_conv_backward.cpp.
#include "kernels/cpu/ops/pooled_conv.hpp"

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

}  // namespace

PooledConv::PooledConv(const CpuContext& context, const ConvDesc& desc, int batch)
    : ProductOp(context, desc, batch, canonical_weights(desc)), conv_(desc), rows_(batch) {
  const int widest = context.loops.widest_lanes;
  if (desc.in.c > widest) bf16_ = context.bf16;  // fewer channels would fill half of its vectors
  const int lanes = bf16_ != nullptr ? bf16_->lanes : best_lanes(desc.in.c, widest);
  const int channels = (desc.in.c + lanes - 1) / lanes * lanes;
  const int width = desc.in.w + desc.pad.left + desc.pad.right;
  const int height = desc.in.h + desc.pad.top + desc.pad.bottom;
  loop_ = {desc.kernel, desc.stride, width, channels, lanes, desc.pool, out_shape(desc)};
  filter_floats_ = static_cast<std::size_t>(desc.out) * desc.kernel * desc.kernel * channels;
  image_floats_ = static_cast<std::size_t>(height) * width * channels;
  plain_ = image_floats_ == desc.in.size();
  constexpr std::size_t kMost = std::numeric_limits<std::int32_t>::max();  // places are 32-bit numbers
  if (filter_floats_ > kMost || image_floats_ > kMost) {
    throw BackendError(describe(desc) +
                       ": too large for the CPU engine: more than 2^31 values in an image or a filter bank");
  }
}

std::size_t PooledConv::saved_bytes() const {
  return static_cast<std::size_t>(batch()) * loop_.pooled.size();
}

std::size_t PooledConv::workspace_bytes() const {
  return std::max(forward_bytes(), HostAllocator::bytes([&](auto& memory) { take_pieces(memory, 0); }));
}

PooledConv::Pieces PooledConv::take_pieces(HostAllocator& memory, int thread) const {
  const auto outputs = static_cast<std::size_t>(conv_.out);
  const std::size_t windows = static_cast<std::size_t>(loop_.pooled.h) * loop_.pooled.w;
  const auto positions = static_cast<std::size_t>(loop_.window.size) * loop_.window.size;
  const std::size_t groups = std::max(outputs, windows * std::min(positions, outputs));
  const std::size_t plain = stored_ == canonical_ ? 0 : canonical_.get_size() / sizeof(float);
  Pieces own{};
  Pieces p{};
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

PooledConv::Pieces PooledConv::pieces(const OpArgs& args, int thread) const {
  HostAllocator memory(args.workspace);
  return take_pieces(memory, thread);
}

// Calls body(place in the padded image, place in the plain one) for each row.
template <typename Body>
void PooledConv::for_rows(const Body& body) const {
  const auto width = static_cast<std::size_t>(loop_.width);
  for (int y = 0; y < conv_.in.h; ++y) {
    const std::size_t pixel = (static_cast<std::size_t>(y) + conv_.pad.top) * width + conv_.pad.left;
    body(pixel * loop_.channels, static_cast<std::size_t>(y) * conv_.in.w * conv_.in.c);
  }
}

// Image n as the loops for fp32 read it: in place, or padded.
const float* PooledConv::image_of(const OpArgs& args, std::size_t n, const Pieces& p) const {
  const float* x = floats(args.x) + n * conv_.in.size();
  if (plain_) return x;
  std::memset(p.image, 0, image_floats_ * sizeof(float));
  for_rows([&](std::size_t padded, std::size_t at) {
    copy_rows(x + at, conv_.in.c, p.image + padded, loop_.channels, conv_.in.w, conv_.in.c);
  });
  return p.image;
}

// Image n as the loops for bf16 read it: in place, or cast and padded.
const std::uint16_t* PooledConv::bf16_image_of(const OpArgs& args, std::size_t n, const Pieces& p) const {
  if (conv_.bf16_x) return halves(args.x) + n * conv_.in.size();
  const float* x = floats(args.x) + n * conv_.in.size();
  auto* image = reinterpret_cast<std::uint16_t*>(p.image);
  const bool overwritten = conv_.pad == Border{};  // the cast fills whole vectors
  if (!overwritten) std::memset(image, 0, image_floats_ * sizeof(std::uint16_t));
  for_rows([&](std::size_t padded, std::size_t at) {
    bf16_->sparse_conv_image(x + at, image + padded, conv_.in.c, static_cast<std::size_t>(conv_.in.w));
  });
  return image;
}

// Adds the gradients of image n to the thread's dw and db.
void PooledConv::add_weights(const OpArgs& args, std::size_t n, const Pieces& p) const {
  GradientLists lists = p.lists;
  const float* dy = floats(args.dy) + n * loop_.pooled.size();
  const std::uint8_t* argmax = argmax_of(args, n * loop_.pooled.size());
  float* db = p.dw + filter_floats_;
  if (bf16_ != nullptr) {
    bf16_->sparse_conv_weights(loop_, lists, bf16_image_of(args, n, p), dy, argmax, p.dw, db);
  } else {
    context_.loops.sparse_conv_weights(loop_, lists, image_of(args, n, p), dy, argmax, p.dw, db);
  }
}

void PooledConv::write_dx(const OpArgs& args, std::size_t n, const Pieces& p) const {
  GradientLists lists = p.lists;
  const float* dy = floats(args.dy) + n * loop_.pooled.size();
  const std::uint8_t* argmax = argmax_of(args, n * loop_.pooled.size());
  const std::size_t first = n * conv_.in.size();
  const bool in_place = plain_ && !conv_.bf16_x;
  float* sums = in_place ? floats(args.dx) + first : p.image;
  std::memset(sums, 0, image_floats_ * sizeof(float));
  if (bf16_ != nullptr) {
    bf16_->sparse_conv_data(loop_, lists, reinterpret_cast<const std::uint16_t*>(p.w), dy, argmax, sums);
  } else {
    context_.loops.sparse_conv_data(loop_, lists, p.w, dy, argmax, sums);
  }
  if (conv_.bf16_x) {
    bf16_->relu_backward(halves(args.x) + first, sums, halves(args.dx) + first, conv_.in.size());
  } else if (!in_place) {
    float* dx = floats(args.dx) + first;
    for_rows([&](std::size_t padded, std::size_t at) {
      copy_rows(sums + padded, loop_.channels, dx + at, conv_.in.c, conv_.in.w, conv_.in.c);
    });
  }
}

void PooledConv::prepare_filters(const OpArgs& args, const Pieces& p) const {
  const std::size_t taps = filter_floats_ / static_cast<std::size_t>(loop_.channels);
  const auto* w = static_cast<const float*>(weights_as(context_, stored_, args.w, canonical_, p.plain_w));
  std::memset(p.w, 0, filter_floats_ * sizeof(float));
  if (bf16_ != nullptr) {
    bf16_->sparse_conv_filters(w, reinterpret_cast<std::uint16_t*>(p.w), conv_.in.c, taps);
  } else {
    copy_rows(w, conv_.in.c, p.w, loop_.channels, taps, conv_.in.c);
  }
}

void PooledConv::write_dw(const OpArgs& args, const Pieces& p) const {
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

void PooledConv::run_backward(const OpArgs& args) {
  const Pieces first = pieces(args, 0);
  const std::size_t sums = filter_floats_ + static_cast<std::size_t>(conv_.out);
  rows_.read(args);
  if (args.dx != nullptr) prepare_filters(args, first);
  sum_over_threads(
      context_, rows_.count(), sums, [&](int thread) { return pieces(args, thread).dw; },
      [&](const Share& share) {
        const Pieces p = pieces(args, share.thread);
        for (std::size_t i = share.begin; i < share.end; ++i) {
          add_weights(args, rows_[i], p);
          if (args.dx != nullptr) write_dx(args, rows_[i], p);
        }
      });
  write_dw(args, first);
  rows_.clear_rest(args, conv_.in.size() * (conv_.bf16_x ? sizeof(std::uint16_t) : sizeof(float)));
}

}  // namespace trainer::cpu
