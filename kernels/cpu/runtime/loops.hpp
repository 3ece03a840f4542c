// The engine's own inner loops. Each works on a range, on one thread. They are compiled several times, once
// for each instruction set (kernels/cpu/loops/*.cpp with different -march), and reached through a table that
// the backend picks at start-up, so that one binary runs on any x86-64 and uses AVX-512 where it is. All maps
// are [n, h, w, c]; `begin` and `end` count images unless said otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/math/optimizer.hpp"
#include "kernels/math/step_state.hpp"
#include "kernels/shape.hpp"

namespace trainer {

struct DropoutDesc;  // op.hpp
struct GatherArgs;   // backend.hpp
struct UpdateArgs;

namespace cpu {

constexpr std::uint8_t kNoArgmax = 255;  // ReLU stopped the gradient of this window

// Max pooling of `map` [n, map.h, map.w, channels of `stride_c`], the first c of which are pooled. `argmax`
// holds the row-major index of each window's first maximum, or kNoArgmax where `relu` cut it off; size * size
// <= 255.
struct PoolLoop {
  Shape map;
  int stride_c;
  Window window;
  Shape out;
  bool relu;
};

// Convolution at stride 1 of one image of `in` channels, which is already padded to [h + k - 1, w + k - 1].
struct ConvLoop {
  int h, w;  // of the map
  int kernel;
  int in;
  int channels;  // out, as stored: a multiple of `lanes`
  int lanes;     // 4, 8 or 16 channels to a vector
  bool relu;
  Window window;  // of the pool behind it, for the loops that have one
  Shape pooled;   // channels as they are
};

// The sizes that conv_pool is compiled for; its windows lie side by side.
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

// Backward of a convolution whose map is max-pooled, on one image padded to `width` columns and `channels`
// channels (a multiple of `lanes`).
struct SparseConvLoop {
  int kernel, stride;  // of the convolution
  int width, channels, lanes;
  Window window;
  Shape pooled;  // [h, w, output channels]
};

// A gradient that is not zero: `at` is the place of its filter in the image, or of its filter among the
// weights.
struct GradientEntry {
  std::int32_t at;
  float gradient;
};

constexpr std::size_t kSpareEntries = 8;

// Scratch of one thread, the caller's.
struct GradientLists {
  GradientEntry* entries;  // [pooled.size() + kSpareEntries]: whole vectors of them are written
  std::int32_t* count;     // [max(pooled.c, groups)]: of each group
  std::int32_t* place;     // [groups], where groups <= windows * min(positions of a window, pooled.c)
  int groups;
};

// Batch normalisation, and GELU behind it, of rows of `channels`. One inner loop goes over a tile of rows:
// tables of `tile` floats repeat the channels' values, so that few channels fill whole vectors too.
struct NormLoop {
  std::size_t channels, tile;  // tile is a multiple of channels
  bool gelu;
  const float *mean, *inv_std, *gamma, *beta;  // tables [tile]; inv_std = 1 / sqrt(var + epsilon)
  float* sums;                                 // scratch [2, tile]
};

// The parts of maps that a loop of batch normalisation goes over: `count` of them, of `floats` each, which
// are whole rows of channels; they lie at the multiples of `floats` that `at` lists.
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

// The loops that go with products of bf16, whose values are the upper half of a float's bits.
struct Bf16Loops {
  int lanes;  // channels of SparseConvLoop are a multiple

#define BF16_LOOP(name, ...) void (*name)(__VA_ARGS__);
#include "kernels/cpu/runtime/loop_list.hpp"
};

// Null where this processor has no products of bf16.
const Bf16Loops* bf16_loops();

}  // namespace cpu

}  // namespace trainer
