// Padding, threads and sums around the loops of loops/winners.cpp.
#include "kernels/cpu/winner_backward.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/backend.hpp"
#include "kernels/cpu/parallel.hpp"

namespace trainer::cpu {

// Copies `rows` rows of `count` values between arrays of different strides.
void WinnerBackward::copy_rows(const float* from, std::size_t from_stride, float* to, std::size_t to_stride,
                               std::size_t rows, std::size_t count) const {
  for (std::size_t r = 0; r < rows; ++r)
    std::memcpy(to + r * to_stride, from + r * from_stride, count * sizeof(float));
}

// The same, cast. Rows that lie side by side in both are one.
void WinnerBackward::copy_rows(const float* from, std::size_t from_stride, std::uint16_t* to,
                               std::size_t to_stride, std::size_t rows, std::size_t count) const {
  if (from_stride == count && to_stride == count) return context_.bf16->to_bf16(from, to, rows * count);
  for (std::size_t r = 0; r < rows; ++r)
    context_.bf16->to_bf16(from + r * from_stride, to + r * to_stride, count);
}

WinnerBackward::WinnerBackward(const CpuContext& context, const ConvDesc& desc, int batch)
    : context_(context), conv_(desc), batch_(batch) {
  const int lanes =
      context.bf16 != nullptr ? context.bf16->lanes : best_lanes(desc.in.c, context.loops.widest_lanes);
  const int channels = (desc.in.c + lanes - 1) / lanes * lanes;
  const int width = desc.in.w + desc.pad.left + desc.pad.right;
  const int height = desc.in.h + desc.pad.top + desc.pad.bottom;
  loop_ = {desc.kernel, desc.stride, width, channels, lanes, desc.pool, out_shape(desc)};
  filter_floats_ = static_cast<std::size_t>(desc.out) * desc.kernel * desc.kernel * channels;
  image_floats_ = static_cast<std::size_t>(height) * width * channels;
  constexpr std::size_t kMost = std::numeric_limits<std::int32_t>::max();  // places are 32-bit numbers
  if (filter_floats_ > kMost || image_floats_ > kMost) {
    throw BackendError(describe(desc) +
                       ": too large for the CPU engine: more than 2^31 values in an image or a filter bank");
  }
}

// Fills in `pieces` for one thread; returns the bytes of all threads' together.
std::size_t WinnerBackward::carve(std::byte* workspace, int thread, Pieces& pieces) const {
  const auto outputs = static_cast<std::size_t>(conv_.out);
  const std::size_t windows = static_cast<std::size_t>(loop_.pooled.h) * loop_.pooled.w;
  const auto positions = static_cast<std::size_t>(loop_.window.size) * loop_.window.size;
  const std::size_t groups = std::max(outputs, windows * std::min(positions, outputs));
  Carver carver(workspace);
  pieces.w = carver.floats(filter_floats_);
  for (int t = 0; t < context_.threads; ++t) {
    Pieces own = pieces;
    own.dw = carver.floats(filter_floats_ + outputs);
    own.image = carver.floats(image_floats_);
    own.lists.entries =
        reinterpret_cast<WinnerEntry*>(carver.bytes((loop_.pooled.size() + 1) * sizeof(WinnerEntry)));
    own.lists.count = reinterpret_cast<std::int32_t*>(carver.bytes(groups * sizeof(std::int32_t)));
    own.lists.place = reinterpret_cast<std::int32_t*>(carver.bytes(groups * sizeof(std::int32_t)));
    if (t == thread) pieces = own;
  }
  return carver.used();
}

std::size_t WinnerBackward::workspace_bytes() const {
  Pieces unused{};
  return carve(nullptr, 0, unused);
}

WinnerBackward::Pieces WinnerBackward::pieces(std::byte* workspace, int thread) const {
  Pieces own{};
  carve(workspace, thread, own);
  return own;
}

template <typename T>
void WinnerBackward::pad(const float* x, T* image) const {
  const auto channels = static_cast<std::size_t>(loop_.channels);
  const std::size_t row = static_cast<std::size_t>(loop_.width) * channels;
  const auto in = static_cast<std::size_t>(conv_.in.c);
  std::memset(image, 0, image_floats_ * sizeof(T));
  for (int y = 0; y < conv_.in.h; ++y) {
    T* to = image + (static_cast<std::size_t>(y) + conv_.pad.top) * row + conv_.pad.left * channels;
    const float* from = x + static_cast<std::size_t>(y) * conv_.in.w * in;
    copy_rows(from, in, to, channels, static_cast<std::size_t>(conv_.in.w), in);
  }
}

void WinnerBackward::unpad(const float* image, float* dx) const {
  const auto channels = static_cast<std::size_t>(loop_.channels);
  const std::size_t row = static_cast<std::size_t>(loop_.width) * channels;
  const auto in = static_cast<std::size_t>(conv_.in.c);
  for (int y = 0; y < conv_.in.h; ++y) {
    const float* from =
        image + (static_cast<std::size_t>(y) + conv_.pad.top) * row + conv_.pad.left * channels;
    copy_rows(from, channels, dx + static_cast<std::size_t>(y) * conv_.in.w * in, in,
              static_cast<std::size_t>(conv_.in.w), in);
  }
}

void WinnerBackward::run_share(const Args& args, std::size_t begin, std::size_t end, const Pieces& p) const {
  WinnerLists lists = p.lists;
  for (std::size_t n = begin; n < end; ++n) {
    const float* dy = args.dy + n * loop_.pooled.size();
    const std::uint8_t* winners = args.winners + n * loop_.pooled.size();
    const float* x = args.x + n * conv_.in.size();
    float* db = p.dw + filter_floats_;
    if (context_.bf16 != nullptr) {
      auto* image = reinterpret_cast<std::uint16_t*>(p.image);
      pad(x, image);
      context_.bf16->winner_weights(loop_, lists, image, dy, winners, p.dw, db);
    } else {
      pad(x, p.image);
      context_.loops.winner_weights(loop_, lists, p.image, dy, winners, p.dw, db);
    }
    if (args.dx == nullptr) continue;
    std::memset(p.image, 0, image_floats_ * sizeof(float));
    if (context_.bf16 != nullptr) {
      const auto* w = reinterpret_cast<const std::uint16_t*>(p.w);
      context_.bf16->winner_data(loop_, lists, w, dy, winners, p.image);
    } else {
      context_.loops.winner_data(loop_, lists, p.w, dy, winners, p.image);
    }
    unpad(p.image, args.dx + n * conv_.in.size());
  }
}

void WinnerBackward::run(const Args& args) const {
  const auto in = static_cast<std::size_t>(conv_.in.c);
  const auto channels = static_cast<std::size_t>(loop_.channels);
  const auto outputs = static_cast<std::size_t>(conv_.out);
  const std::size_t taps = filter_floats_ / channels;
  const Pieces first = pieces(args.workspace, 0);
  if (args.dx != nullptr) {
    std::memset(first.w, 0, filter_floats_ * sizeof(float));
    if (context_.bf16 != nullptr) {
      copy_rows(args.w, in, reinterpret_cast<std::uint16_t*>(first.w), channels, taps, in);
    } else {
      copy_rows(args.w, in, first.w, channels, taps, in);
    }
  }
  for (int t = 0; t < context_.threads; ++t) {
    std::memset(pieces(args.workspace, t).dw, 0, (filter_floats_ + outputs) * sizeof(float));
  }
  parallel(static_cast<std::size_t>(batch_), 1, context_.threads, [&](const Share& share) {
    run_share(args, share.begin, share.end, pieces(args.workspace, share.thread));
  });
  for (int t = 1; t < context_.threads; ++t) {
    context_.loops.add(pieces(args.workspace, t).dw, first.dw, 0, filter_floats_ + outputs);
  }
  copy_rows(first.dw, channels, args.dw, in, taps, in);
  if (args.db != nullptr) std::memcpy(args.db, first.dw + filter_floats_, outputs * sizeof(float));
}

}  // namespace trainer::cpu
