// The engine's own inner loops. Each processes a range on one thread. They are compiled once for each
// instruction set (kernels/cpu/loops/*.cpp with different -march) and called through a table that the backend
// picks at start-up, so that one binary runs on any x86-64 and uses AVX-512 if the processor has it. All maps
// are [n, h, w, c]; `begin` and `end` count images unless noted otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/math/average.hpp"
#include "kernels/math/optimizer.hpp"
#include "kernels/math/step_state.hpp"
#include "kernels/shape.hpp"

namespace trainer {

struct DropoutDesc;  // op.hpp
struct GatherArgs;   // backend.hpp
struct UpdateArgs;

namespace cpu {

constexpr int kFewestLanes = 4;

// The vector width in lanes, at most `widest`, that wastes the fewest lanes on `channels`.
constexpr int best_lanes(int channels, int widest) {
  const auto padded = [channels](int lanes) { return (channels + lanes - 1) / lanes * lanes; };
  int best = widest;
  for (int lanes = widest / 2; lanes >= kFewestLanes; lanes /= 2) {
    if (padded(lanes) < padded(best)) best = lanes;
  }
  return best;
}

constexpr std::uint8_t kNoArgmax = 255;  // the window's gradient is zero because of the ReLU

// Max pooling of `map` [n, map.h, map.w, stride_c], of which the first out.c channels are pooled. `argmax`
// holds the row-major index of each window's first maximum, or kNoArgmax if `relu` made it 0; size * size
// <= 255.
struct PoolLoop {
  Shape map;
  int stride_c;
  Window window;
  Shape out;
  bool relu;
};

// Convolution at stride 1 of one image with `in` channels that is already padded to [h + k - 1, w + k - 1].
struct ConvLoop {
  int h, w;  // the map's
  int kernel;
  int in;
  int channels;  // output channels as stored: a multiple of `lanes`
  int lanes;     // channels per vector: 4, 8 or 16
  bool relu;
  Window window;  // the pool after it, for the loops that have one
  Shape pooled;   // with the true number of channels
};

// The sizes that conv_pool is compiled for; its windows are adjacent and do not overlap.
constexpr bool has_conv_pool(int in, int kernel, const Window& window) {
  if (window.stride != window.size) return false;
  if (in == 8 || in == 16) return kernel == 3 && window.size == 2;
  return in == 1 &&
         ((kernel == 3 && (window.size == 2 || window.size == 3)) || (kernel == 5 && window.size == 2));
}

// The sizes that conv_pool of Bf16Loops is compiled for.
constexpr bool has_bf16_conv_pool(const ConvLoop& loop) {
  return loop.in == 1 && has_conv_pool(1, loop.kernel, loop.window) && loop.window.size == 2 &&
         loop.lanes == 16;
}

// Backward of a convolution whose map is max-pooled, for one image padded to `width` columns and `channels`
// channels (a multiple of `lanes`).
struct SparseConvLoop {
  int kernel, stride;  // the convolution's
  int width, channels, lanes;
  Window window;
  Shape pooled;  // [h, w, output channels]
};

// A nonzero gradient; `at` is the offset of its filter's position in the image, or of its filter in the weights.
struct GradientEntry {
  std::int32_t at;
  float gradient;
};

constexpr std::size_t kSpareEntries = 8;

// Scratch memory of one thread, owned by the caller.
struct GradientLists {
  GradientEntry* entries;  // [pooled.size() + kSpareEntries]: they are written in whole vectors
  std::int32_t* count;     // [max(pooled.c, groups)]: entries in each group
  std::int32_t* place;     // [groups], where groups <= windows * min(positions of a window, pooled.c)
  int groups;
};

// Batch normalisation of rows of `channels`, then GELU if `gelu`. One inner loop covers a tile of rows: tables
// of `tile` floats repeat the channels' values, so that whole vectors are filled even with few channels.
struct NormLoop {
  std::size_t channels, tile;  // tile is a multiple of channels
  bool gelu;
  const float *mean, *inv_std, *gamma, *beta;  // tables [tile]; inv_std = 1 / sqrt(var + epsilon)
  float* sums;                                 // scratch [2, tile]
};

// The parts of maps that a batch normalisation loop covers: `count` parts of `floats` floats each, which are
// whole rows of channels; part i begins at float at[i] * floats.
struct NormParts {
  const std::uint32_t* at;
  std::size_t count, floats;
};

// c = alpha a b + beta add, all row-major and contiguous: a [rows, inner], b [inner, columns], add (or null) and
// c [rows, columns].
struct ProductLoop {
  int inner, columns;
  float alpha, beta;
  const float *a, *b, *add;
  float* c;
};

// a = x x^T, x [rows, columns]; a is symmetric, so only gram_blocks() of its blocks are computed.
struct GramLoop {
  int rows, columns;
  const float* x;
  float* a;
};
constexpr int gram_rows(int rows) {
  return (rows + 3) / 4;
}
constexpr int gram_blocks(int rows) {
  return gram_rows(rows) * (gram_rows(rows) + 1) / 2;
}

struct Loops {
  const char* name;  // "x86-64-v4"
  int widest_lanes;

#define LOOP(name, ...) void (*name)(__VA_ARGS__);
#include "kernels/cpu/runtime/loop_list.hpp"
};

// The tables for the instruction sets that this processor has and the binary was compiled for, best first.
std::vector<const Loops*> usable_loops();
const Loops& best_loops();

// The loops for bf16 products. A bf16 value is the upper half of a float's bits.
struct Bf16Loops {
  int lanes;  // SparseConvLoop::channels is a multiple of it

#define BF16_LOOP(name, ...) void (*name)(__VA_ARGS__);
#include "kernels/cpu/runtime/loop_list.hpp"
};

// Null if this processor has no bf16 products.
const Bf16Loops* bf16_loops();

}  // namespace cpu

}  // namespace trainer
