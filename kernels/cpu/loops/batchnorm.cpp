// Batch normalisation, a tile at a time: the inner loops have a remainder only in the last tile. Sums are
// floats over a few tiles, and are then added to doubles.
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/math/gelu.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

constexpr std::size_t kTilesOfAFloat = 32;

// The tables of a loop; none of its outputs overlaps them.
struct Tables {
  const float* __restrict mean;
  const float* __restrict inv_std;
  const float* __restrict gamma;
  const float* __restrict beta;
  HOST_DEVICE explicit Tables(const NormLoop& loop)
      : mean(loop.mean), inv_std(loop.inv_std), gamma(loop.gamma), beta(loop.beta) {}
};

// Adds the two rows of sums of the tile to `sums` [2, channels] and clears them.
void fold(const NormLoop& loop, double* sums) {
  for (std::size_t first = 0; first < loop.tile; first += loop.channels) {
    for (std::size_t c = 0; c < loop.channels; ++c) {
      sums[c] += loop.sums[first + c];
      sums[loop.channels + c] += loop.sums[loop.tile + first + c];
    }
  }
  for (std::size_t i = 0; i < 2 * loop.tile; ++i) loop.sums[i] = 0;
}

// Calls body(first element, number of elements) for each tile; each part begins a new tile.
template <typename Body>
HOST_DEVICE void for_tiles(const NormLoop& loop, const NormParts& parts, const Body& body) {
  for (std::size_t part = 0; part < parts.count; ++part) {
    const std::size_t first = parts.at[part] * parts.floats;
    for (std::size_t at = 0; at < parts.floats; at += loop.tile)
      body(first + at, parts.floats - at < loop.tile ? parts.floats - at : loop.tile);
  }
}

// Like for_tiles(), and folds the sums that body leaves in loop.sums.
template <typename Body>
HOST_DEVICE void sum_tiles(const NormLoop& loop, const NormParts& parts, double* sums, const Body& body) {
  for (std::size_t i = 0; i < 2 * loop.tile; ++i) loop.sums[i] = 0;
  std::size_t tiles = 0;
  for_tiles(loop, parts, [&](std::size_t at, std::size_t length) {
    body(at, length);
    if (++tiles % kTilesOfAFloat == 0) fold(loop, sums);
  });
  fold(loop, sums);
}

template <bool kGelu>
void gradient_sums(const NormLoop& loop, const float* x, const float* dy, float* dx, const NormParts& parts,
                   double* sums) {
  const Tables t(loop);
  sum_tiles(loop, parts, sums, [&](std::size_t at, std::size_t length) {
    const float* __restrict from = x + at;
    const float* __restrict above = dy + at;
    float* __restrict to = dx == nullptr ? nullptr : dx + at;
    float* __restrict first = loop.sums;
    float* __restrict second = loop.sums + loop.tile;
#pragma GCC ivdep
    for (std::size_t i = 0; i < length; ++i) {
      const float xh = (from[i] - t.mean[i]) * t.inv_std[i];
      const float g = kGelu ? above[i] * gelu_derivative(xh * t.gamma[i] + t.beta[i]) : above[i];
      first[i] += g;
      second[i] += g * xh;
      if (to != nullptr) to[i] = g;
    }
  });
}

template <bool kGelu>
void normalize(const NormLoop& loop, const float* x, float* y, const NormParts& parts) {
  const Tables t(loop);
  for_tiles(loop, parts, [&](std::size_t at, std::size_t length) {
    const float* __restrict from = x + at;
    float* __restrict to = y + at;
    for (std::size_t i = 0; i < length; ++i) {
      const float u = (from[i] - t.mean[i]) * t.inv_std[i] * t.gamma[i] + t.beta[i];
      to[i] = kGelu ? trainer::gelu(u) : u;
    }
  });
}

}  // namespace

void norm_sums(const NormLoop& loop, const float* x, std::size_t count, double* sums) {
  static constexpr std::uint32_t kFirst = 0;  // a compile-time count of one part makes it a quarter faster
  const float* __restrict mean = loop.mean;
  sum_tiles(loop, {&kFirst, 1, count}, sums, [&](std::size_t at, std::size_t length) {
    const float* __restrict from = x + at;
    float* __restrict first = loop.sums;
    float* __restrict second = loop.sums + loop.tile;
    for (std::size_t i = 0; i < length; ++i) {
      const float d = from[i] - mean[i];
      first[i] += d;
      second[i] += d * d;
    }
  });
}

void norm(const NormLoop& loop, const float* x, float* y, const NormParts& parts) {
  loop.gelu ? normalize<true>(loop, x, y, parts) : normalize<false>(loop, x, y, parts);
}

void norm_gradient(const NormLoop& loop, const float* x, const float* dy, float* dx, const NormParts& parts,
                   double* sums) {
  loop.gelu ? gradient_sums<true>(loop, x, dy, dx, parts, sums)
            : gradient_sums<false>(loop, x, dy, dx, parts, sums);
}

void norm_backward(const NormLoop& loop, const float* mean_g, const float* mean_gx, const float* x, float* dx,
                   const NormParts& parts) {
  const Tables t(loop);
  for_tiles(loop, parts, [&](std::size_t at, std::size_t length) {
    const float* __restrict from = x + at;
    float* __restrict to = dx + at;
    for (std::size_t i = 0; i < length; ++i) {
      const float xh = (from[i] - t.mean[i]) * t.inv_std[i];
      to[i] = t.gamma[i] * t.inv_std[i] * (to[i] - mean_g[i] - xh * mean_gx[i]);
    }
  });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
