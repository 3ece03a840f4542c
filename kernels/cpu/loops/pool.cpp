// Pooling. Channels are the vectors: a window is walked position by position for a block of 16 channels at a
// time, with the running maximum and its index in registers. Forward also notes the argmax, so that backward
// needs neither the map nor a second comparison.
#include <cstring>

#include "kernels/cpu/loops/loops.hpp"
#include "kernels/cpu/loops/vectors.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// Where a window's upper left corner lies in a map, and how to walk from there.
struct Corner {
  std::size_t at;           // of its first channel
  std::size_t row, column;  // strides in floats
};

HOST_DEVICE Corner corner_of(const PoolLoop& loop, int py, int px) {
  const auto column = static_cast<std::size_t>(loop.stride_c);
  const std::size_t row = column * loop.map.w;
  return {static_cast<std::size_t>(py) * loop.window.stride * row +
              static_cast<std::size_t>(px) * loop.window.stride * column,
          row, column};
}

// kLanes channels of one window.
template <int kLanes>
HOST_DEVICE void pool_window(const PoolLoop& loop, const float* first, const Corner& corner, float* y,
                             std::uint8_t* winner) {
  using Vector = VectorOf<kLanes>;
  using Float = typename Vector::Float;
  using Int = typename Vector::Int;
  Float best = load<Float>(first);
  Int index{};
  for (int ky = 0, k = 0; ky < loop.window.size; ++ky) {
    for (int kx = 0; kx < loop.window.size; ++kx, ++k) {
      const auto at = load<Float>(first + ky * corner.row + kx * corner.column);
      const auto better = at > best;
      best = better ? at : best;
      index = better ? Int{} + k : index;
    }
  }
  if (loop.relu) {  // a NaN passes
    const auto dead = best <= 0;
    best = dead ? Float{} : best;
    index = dead ? Int{} + kNoWinner : index;
  }
  store(y, best);
  if (winner != nullptr) store(winner, convert<typename Vector::Byte>(index));
}

// The gradient of kLanes channels of one window that shares no position with another.
template <int kLanes>
HOST_DEVICE void spread_window(const PoolLoop& loop, const float* dy, const std::uint8_t* winner,
                               float* first, const Corner& corner) {
  using Vector = VectorOf<kLanes>;
  using Float = typename Vector::Float;
  const auto index = convert<typename Vector::Int>(load<typename Vector::Byte>(winner));
  const auto gradient = load<Float>(dy);
  for (int ky = 0, k = 0; ky < loop.window.size; ++ky) {
    for (int kx = 0; kx < loop.window.size; ++kx, ++k) {
      const Float there = index == k ? gradient : Float{};
      store(first + ky * corner.row + kx * corner.column, there);
    }
  }
}

// Calls body(c, lanes as a constant) over all channels: the widest vectors first, single channels last.
template <typename Body>
HOST_DEVICE void channel_blocks(int channels, const Body& body) {
  int c = 0;
  if constexpr (TRAINER_LOOPS_LANES >= 16) {
    for (; c + 16 <= channels; c += 16) body.template operator()<16>(c);
  }
  if constexpr (TRAINER_LOOPS_LANES >= 8) {
    for (; c + 8 <= channels; c += 8) body.template operator()<8>(c);
  }
  for (; c + 4 <= channels; c += 4) body.template operator()<4>(c);
  for (; c < channels; ++c) body.template operator()<1>(c);
}

bool covers(const PoolLoop& loop) {
  return loop.window.size == loop.window.stride && loop.out.h * loop.window.size == loop.map.h &&
         loop.out.w * loop.window.size == loop.map.w && loop.stride_c == loop.out.c;
}

std::size_t map_floats(const PoolLoop& loop) {
  return static_cast<std::size_t>(loop.map.h) * loop.map.w * loop.stride_c;
}

void zero(float* at, std::size_t count) {
  std::memset(at, 0, count * sizeof(float));
}

// Windows that overlap add up, in the order in which they are walked.
void add_winners(const PoolLoop& loop, const float* __restrict dy, const std::uint8_t* __restrict winner,
                 float* __restrict dmap, const Corner& corner) {
  for (int c = 0; c < loop.out.c; ++c) {
    if (winner[c] == kNoWinner) continue;
    const std::size_t ky = winner[c] / static_cast<std::size_t>(loop.window.size);
    const std::size_t kx = winner[c] % static_cast<std::size_t>(loop.window.size);
    dmap[corner.at + ky * corner.row + kx * corner.column + c] += dy[c];
  }
}

}  // namespace

void maxpool(const PoolLoop& loop, const float* map, float* y, std::uint8_t* winner, std::size_t images) {
  for (std::size_t n = 0; n < images; ++n, map += map_floats(loop)) {
    for (int py = 0; py < loop.out.h; ++py) {
      for (int px = 0; px < loop.out.w; ++px, y += loop.out.c) {
        const Corner corner = corner_of(loop, py, px);
        channel_blocks(
            loop.out.c, [&]<int kLanes>(int c) __attribute__((always_inline)) {
              pool_window<kLanes>(loop, map + corner.at + c, corner, y + c,
                                  winner == nullptr ? nullptr : winner + c);
            });
        if (winner != nullptr) winner += loop.out.c;
      }
    }
  }
}

void maxpool_backward(const PoolLoop& loop, const float* dy, const std::uint8_t* winner, float* dmap,
                      std::size_t images) {
  const bool whole = covers(loop);
  const bool apart = loop.window.stride >= loop.window.size;
  for (std::size_t n = 0; n < images; ++n, dmap += map_floats(loop)) {
    if (!whole) zero(dmap, map_floats(loop));
    for (int py = 0; py < loop.out.h; ++py) {
      for (int px = 0; px < loop.out.w; ++px, dy += loop.out.c, winner += loop.out.c) {
        const Corner corner = corner_of(loop, py, px);
        if (!apart) {
          add_winners(loop, dy, winner, dmap, corner);
          continue;
        }
        channel_blocks(
            loop.out.c, [&]<int kLanes>(int c) __attribute__((always_inline)) {
              spread_window<kLanes>(loop, dy + c, winner + c, dmap + corner.at + c, corner);
            });
      }
    }
  }
}

void avgpool(const PoolLoop& loop, const float* map, float* y, std::size_t images) {
  const float fraction = 1 / static_cast<float>(loop.window.size * loop.window.size);
  for (std::size_t n = 0; n < images; ++n, map += map_floats(loop)) {
    for (int py = 0; py < loop.out.h; ++py) {
      for (int px = 0; px < loop.out.w; ++px, y += loop.out.c) {
        const Corner corner = corner_of(loop, py, px);
        zero(y, loop.out.c);
        for (int ky = 0; ky < loop.window.size; ++ky) {
          for (int kx = 0; kx < loop.window.size; ++kx) {
            const float* at = map + corner.at + ky * corner.row + kx * corner.column;
            for (int c = 0; c < loop.out.c; ++c) y[c] += at[c];
          }
        }
        for (int c = 0; c < loop.out.c; ++c) y[c] *= fraction;
      }
    }
  }
}

void avgpool_backward(const PoolLoop& loop, const float* dy, float* dmap, std::size_t images) {
  const float fraction = 1 / static_cast<float>(loop.window.size * loop.window.size);
  zero(dmap, map_floats(loop) * images);
  for (std::size_t n = 0; n < images; ++n, dmap += map_floats(loop)) {
    for (int py = 0; py < loop.out.h; ++py) {
      for (int px = 0; px < loop.out.w; ++px, dy += loop.out.c) {
        const Corner corner = corner_of(loop, py, px);
        for (int ky = 0; ky < loop.window.size; ++ky) {
          for (int kx = 0; kx < loop.window.size; ++kx) {
            float* at = dmap + corner.at + ky * corner.row + kx * corner.column;
            for (int c = 0; c < loop.out.c; ++c) at[c] += dy[c] * fraction;
          }
        }
      }
    }
  }
}

}  // namespace trainer::cpu::TRAINER_LOOPS
