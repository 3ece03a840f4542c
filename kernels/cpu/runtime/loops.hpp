// The engine's own inner loops, each over a range and on one thread. They are compiled several times, once
// for each instruction set (kernels/cpu/loops/*.cpp with different -march), and reached through a table that
// the backend picks at start-up, so that one binary runs on any x86-64 and uses AVX-512 where it is. All maps
// are [n, h, w, c]; ranges `begin` and `end` count images unless said otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/math/batching.hpp"
#include "kernels/math/optimizer.hpp"
#include "kernels/shape.hpp"

namespace trainer::cpu {

constexpr std::uint8_t kNoWinner = 255;  // ReLU stopped the gradient of this window

struct GatherLoop {
  Batching batching;
  std::uint64_t seed, step;
  std::uint32_t valid;
  Shape stored, shape;  // of an image, and of the piece of it that is x
  int top, left;        // where that piece begins
  float scale, shift;
  const std::uint8_t* images;
  const std::uint8_t* stored_labels;
  float* x;
  std::uint8_t* labels;
};

// Max pooling of `map` [n, map.h, map.w, channels of `stride_c`], the first c of which are pooled. `argmax`
// holds the row-major index of each window's first maximum, or kNoWinner where `relu` cut it off; size * size
// <= 255.
struct PoolLoop {
  Shape map;
  int stride_c;
  Window window;
  Shape out;
  bool relu;
};

// One-channel convolution at stride 1 on an image already padded to [h + k - 1, w + k - 1].
struct OneChannelLoop {
  int h, w;  // of the map
  int kernel;
  int channels;  // as stored: a multiple of `lanes`
  int lanes;     // 4, 8 or 16 channels to a vector
  bool relu;
  Window window;  // of the pool behind it, for one_channel_pool
  Shape pooled;   // channels as they are
};

// The sizes of filter and window that one_channel_pool is compiled for; its windows lie side by side.
constexpr bool has_one_channel_pool(int kernel, const Window& window) {
  return window.stride == window.size &&
         ((kernel == 3 && (window.size == 2 || window.size == 3)) || (kernel == 5 && window.size == 2));
}

// And those of Bf16Loops.
inline bool has_bf16_one_channel_pool(const OneChannelLoop& loop) {
  return has_one_channel_pool(loop.kernel, loop.window) && loop.window.size == 2 && loop.lanes == 16;
}

// Convolution by 3 x 3 at stride 1 without a border, with max pooling 2 x 2, on one image of `in` channels.
struct FewChannelsLoop {
  int width, in;  // of the image; in: 8 or 16
  int channels;   // out, as stored: a multiple of `lanes`
  int lanes;
  bool relu;
  Shape pooled;  // channels as they are
};

// Backward of a convolution whose map is max-pooled, on one image padded to `width` columns and `channels`
// channels (a multiple of `lanes`).
struct WinnerLoop {
  int kernel, stride;  // of the convolution
  int width, channels, lanes;
  Window window;
  Shape pooled;  // [h, w, output channels]
};

// An argmax with a gradient: `at` is the place of its filter in the image, or of its filter among the weights.
struct WinnerEntry {
  std::int32_t at;
  float gradient;
};

constexpr std::size_t kSpareEntries = 8;

// Scratch of one thread, the caller's.
struct WinnerLists {
  WinnerEntry* entries;  // [pooled.size() + kSpareEntries]: whole vectors of them are written
  std::int32_t* count;   // [max(pooled.c, groups)]: of each group
  std::int32_t* place;   // [groups], where groups <= windows * min(positions of a window, pooled.c)
  int groups;
};

struct UpdateLoop {
  Optimizer optimizer;
  UpdateStep step;
  float rate_factor;
  float decay;
  float* w;
  const float* dw;
  float* slot0;
  float* slot1;
};

// Batch normalisation, and GELU behind it, of rows of `channels`. A tile is some rows that one inner loop
// goes over: tables of `tile` floats repeat the channels' values, so that few channels fill whole vectors
// too.
struct NormLoop {
  std::size_t channels, tile;  // tile is a multiple of channels
  bool gelu;
  const float *mean, *inv_std, *gamma, *beta;  // tables [tile]; inv_std = 1 / sqrt(var + epsilon)
  float* sums;                                 // scratch [2, tile]
};

// The parts of maps that a loop of batch normalisation goes over: `count` of them, of `floats` each, whole
// rows of channels; they lie at the multiples of `floats` that `at` lists.
struct NormParts {
  const std::uint32_t* at;
  std::size_t count, floats;
};

// c = alpha a b + beta add, row by row and without gaps: a [rows, inner], b [inner, columns], add (or null)
// and c [rows, columns].
struct ProductLoop {
  int inner, columns;
  float alpha, beta;
  const float *a, *b, *add;
  float* c;
};

// a = x x^T, x [rows, columns], in blocks of which gram_blocks() are worked out.
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

struct DropoutLoop {
  float drop;
  std::uint32_t stream;
  std::uint64_t step, seed;
};

struct Loops {
  const char* name;  // "x86-64-v4"
  int widest_lanes;

#define LOOP(name, ...) void (*name)(__VA_ARGS__);
#include "kernels/cpu/runtime/loop_list.hpp"
};

// The tables for the instruction sets that this processor has and the binary was compiled for, the best one
// first.
std::vector<const Loops*> usable_loops();
const Loops& best_loops();

// What goes with products of bf16, which is the upper half of a float's bits.
struct Bf16Loops {
  int lanes;  // channels of WinnerLoop are a multiple

#define BF16_LOOP(name, ...) void (*name)(__VA_ARGS__);
#include "kernels/cpu/runtime/loop_list.hpp"
};

// Null where this processor has no products of bf16.
const Bf16Loops* bf16_loops();

}  // namespace trainer::cpu
