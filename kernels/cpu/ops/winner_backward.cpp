// Padding, threads and sums around the loops of loops/winners.cpp.
#include "kernels/cpu/ops/winner_backward.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/backend.hpp"
#include "kernels/cpu/runtime/parallel.hpp"

namespace trainer::cpu {

namespace {

// Copies `count` floats of each row between arrays of different strides.
void copy_rows(const float* from, std::size_t from_stride, float* to, std::size_t to_stride, std::size_t rows,
               std::size_t count) {
  for (std::size_t r = 0; r < rows; ++r)
    std::memcpy(to + r * to_stride, from + r * from_stride, count * sizeof(float));
}

}  // namespace

void WinnerBackward::pad_channels(const float* from, float* to, std::size_t pixels) const {
  const auto in = static_cast<std::size_t>(conv_.in.c);
  copy_rows(from, in, to, static_cast<std::size_t>(loop_.channels), pixels, in);
}

void WinnerBackward::pad_channels(const float* from, std::uint16_t* to, std::size_t pixels) const {
  bf16_->winner_image(from, to, conv_.in.c, pixels);
}

void WinnerBackward::unpad_channels(const float* from, float* to, std::size_t pixels) const {
  const auto in = static_cast<std::size_t>(conv_.in.c);
  copy_rows(from, static_cast<std::size_t>(loop_.channels), to, in, pixels, in);
}

WinnerBackward::WinnerBackward(const CpuContext& context, const ConvDesc& desc)
    : context_(context), conv_(desc) {
  if (desc.in.c > context.loops.widest_lanes) bf16_ = context.bf16;  // fewer would fill half of its vectors
  const int lanes = bf16_ != nullptr ? bf16_->lanes : best_lanes(desc.in.c, context.loops.widest_lanes);
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

// Fills in `pieces` for one thread; returns the bytes of all threads' together.
std::size_t WinnerBackward::lay_out(std::byte* workspace, int thread, Layout& layout) const {
  const auto outputs = static_cast<std::size_t>(conv_.out);
  const std::size_t windows = static_cast<std::size_t>(loop_.pooled.h) * loop_.pooled.w;
  const auto positions = static_cast<std::size_t>(loop_.window.size) * loop_.window.size;
  const std::size_t groups = std::max(outputs, windows * std::min(positions, outputs));
  HostAllocator memory(workspace);
  layout.w = memory.take<float>(filter_floats_);
  for (int t = 0; t < context_.threads; ++t) {
    Layout own = layout;
    own.dw = memory.take<float>(filter_floats_ + outputs);
    own.image = memory.take<float>(image_floats_);
    own.lists.entries = memory.take<WinnerEntry>(loop_.pooled.size() + kSpareEntries);
    own.lists.count = memory.take<std::int32_t>(groups);
    own.lists.place = memory.take<std::int32_t>(groups);
    if (t == thread) layout = own;
  }
  return memory.used();
}

std::size_t WinnerBackward::workspace_bytes() const {
  Layout unused{};
  return lay_out(nullptr, 0, unused);
}

WinnerBackward::Layout WinnerBackward::layout(std::byte* workspace, int thread) const {
  Layout own{};
  lay_out(workspace, thread, own);
  return own;
}

template <typename T>
void WinnerBackward::pad(const float* x, T* image) const {
  const auto channels = static_cast<std::size_t>(loop_.channels);
  const std::size_t row = static_cast<std::size_t>(loop_.width) * channels;
  const auto in = static_cast<std::size_t>(conv_.in.c);
  const bool overwritten =
      bf16_ != nullptr && conv_.pad == Border{};  // its channels are cast vector by vector
  if (!overwritten) std::memset(image, 0, image_floats_ * sizeof(T));
  for (int y = 0; y < conv_.in.h; ++y) {
    T* to = image + (static_cast<std::size_t>(y) + conv_.pad.top) * row + conv_.pad.left * channels;
    const float* from = x + static_cast<std::size_t>(y) * conv_.in.w * in;
    pad_channels(from, to, static_cast<std::size_t>(conv_.in.w));
  }
}

void WinnerBackward::unpad(const float* image, float* dx) const {
  const auto channels = static_cast<std::size_t>(loop_.channels);
  const std::size_t row = static_cast<std::size_t>(loop_.width) * channels;
  const auto in = static_cast<std::size_t>(conv_.in.c);
  for (int y = 0; y < conv_.in.h; ++y) {
    const float* from =
        image + (static_cast<std::size_t>(y) + conv_.pad.top) * row + conv_.pad.left * channels;
    unpad_channels(from, dx + static_cast<std::size_t>(y) * conv_.in.w * in,
                   static_cast<std::size_t>(conv_.in.w));
  }
}

// Image n as the loops for bf16 read it: in place, or cast into `padded`.
const std::uint16_t* WinnerBackward::bf16_image(const Args& args, std::size_t n,
                                                std::uint16_t* padded) const {
  const std::size_t at = n * conv_.in.size();
  if (conv_.x_map.bf16) return halves(args.x) + at;
  pad(floats(args.x) + at, padded);
  return padded;
}

void WinnerBackward::weights(const Args& args, std::size_t n, const Layout& p) const {
  WinnerLists lists = p.lists;
  const float* dy = args.dy + n * loop_.pooled.size();
  const std::uint8_t* winners = args.winners + n * loop_.pooled.size();
  float* db = p.dw + filter_floats_;
  if (bf16_ != nullptr) {
    const std::uint16_t* image = bf16_image(args, n, reinterpret_cast<std::uint16_t*>(p.image));
    return bf16_->winner_weights(loop_, lists, image, dy, winners, p.dw, db);
  }
  const float* x = floats(args.x) + n * conv_.in.size();
  if (!plain_) pad(x, p.image);
  context_.loops.winner_weights(loop_, lists, plain_ ? x : p.image, dy, winners, p.dw, db);
}

void WinnerBackward::data(const Args& args, std::size_t n, const Layout& p) const {
  WinnerLists lists = p.lists;
  const float* dy = args.dy + n * loop_.pooled.size();
  const std::uint8_t* winners = args.winners + n * loop_.pooled.size();
  const std::size_t at = n * conv_.in.size();
  const bool in_place = plain_ && !conv_.x_map.bf16;
  float* sums = in_place ? floats(args.dx) + at : p.image;
  std::memset(sums, 0, image_floats_ * sizeof(float));
  if (bf16_ != nullptr) {
    bf16_->winner_data(loop_, lists, reinterpret_cast<const std::uint16_t*>(p.w), dy, winners, sums);
  } else {
    context_.loops.winner_data(loop_, lists, p.w, dy, winners, sums);
  }
  if (conv_.x_map.bf16) {
    bf16_->relu_backward(halves(args.x) + at, sums, halves(args.dx) + at, conv_.in.size());
  } else if (!in_place) {
    unpad(sums, floats(args.dx) + at);
  }
}

void WinnerBackward::run_range(const Args& args, std::size_t begin, std::size_t end, const Layout& p) const {
  for (std::size_t i = begin; i < end; ++i) {
    const std::size_t n = args.rows[i];
    weights(args, n, p);
    if (args.dx != nullptr) data(args, n, p);
  }
}

void WinnerBackward::run(const Args& args) const {
  const auto outputs = static_cast<std::size_t>(conv_.out);
  const std::size_t taps = filter_floats_ / static_cast<std::size_t>(loop_.channels);
  const Layout first = layout(args.workspace, 0);
  if (args.dx != nullptr) {
    std::memset(first.w, 0, filter_floats_ * sizeof(float));
    if (bf16_ != nullptr) {
      bf16_->winner_filters(args.w, reinterpret_cast<std::uint16_t*>(first.w), conv_.in.c, taps);
    } else {
      pad_channels(args.w, first.w, taps);
    }
  }
  for (int t = 0; t < context_.threads; ++t) {
    std::memset(layout(args.workspace, t).dw, 0, (filter_floats_ + outputs) * sizeof(float));
  }
  parallel(args.rows.count(), 1, context_.threads, [&](const Range& range) {
    run_range(args, range.begin, range.end, layout(args.workspace, range.thread));
  });
  for (int t = 1; t < context_.threads; ++t) {
    context_.loops.add(layout(args.workspace, t).dw, first.dw, 0, filter_floats_ + outputs);
  }
  if (bf16_ != nullptr) {
    bf16_->winner_gradients(first.dw, args.dw, conv_.in.c, taps);
  } else {
    unpad_channels(first.dw, args.dw, taps);
  }
  if (args.db != nullptr) std::memcpy(args.db, first.dw + filter_floats_, outputs * sizeof(float));
}

}  // namespace trainer::cpu
