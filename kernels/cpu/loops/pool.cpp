// Pooling. Vectors run over channels: a window is processed position by position for up to 16 channels at a
// time, with the running maximum and its index in registers. Forward also stores the argmax, so that backward
// needs neither the map nor a second comparison.
#include <cstring>

#include "kernels/cpu/loops/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// The position of a window's upper left corner in a map, and the strides from there.
struct Corner {
  std::size_t at;           // the offset of its first channel
  std::size_t row, column;  // strides in floats
};

// Pools kLanes channels of one window.
template <int kLanes>
HOST_DEVICE void pool_window(const PoolLoop& loop, const float* first, const Corner& corner, float* y,
                             std::uint8_t* argmax) {
  const auto best = window_maximum<kLanes>(loop.window.size, loop.relu, [&](int row, int column) {
    return load<typename VectorOf<kLanes>::Float>(first + row * corner.row + column * corner.column);
  });
  store(y, best.value);
  if (argmax != nullptr) store(argmax, convert<typename VectorOf<kLanes>::Byte>(best.argmax));
}

// Calls body<lanes>(c) to cover all channels: the widest vectors first, single channels last.
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

std::size_t map_floats(const PoolLoop& loop) {
  return static_cast<std::size_t>(loop.map.h) * loop.map.w * loop.stride_c;
}

// Calls body(corner in the maps, index in the outputs) for each window of `images` images, in order. It copies
// what it needs of the loop, so that the compiler knows that no store in body changes it.
template <typename Body>
HOST_DEVICE void for_windows(const PoolLoop& loop, std::size_t images, const Body& body) {
  const auto column = static_cast<std::size_t>(loop.stride_c);
  const std::size_t row = column * loop.map.w;
  const std::size_t map = row * loop.map.h;
  const std::size_t stride = static_cast<std::size_t>(loop.window.stride);
  const Shape shape = loop.out;
  std::size_t out = 0;
  for (std::size_t n = 0; n < images; ++n) {
    for (int py = 0; py < shape.h; ++py) {
      for (int px = 0; px < shape.w; ++px, out += shape.c)
        body(Corner{n * map + py * stride * row + px * stride * column, row, column}, out);
    }
  }
}

// Calls body(index of its first channel in the map) for each position of a window.
template <typename Body>
HOST_DEVICE void for_positions(const PoolLoop& loop, const Corner& corner, const Body& body) {
  for (int row = 0; row < loop.window.size; ++row) {
    for (int column = 0; column < loop.window.size; ++column)
      body(corner.at + row * corner.row + column * corner.column);
  }
}

float mean_factor(const PoolLoop& loop) {
  return 1 / static_cast<float>(loop.window.size * loop.window.size);
}

}  // namespace

void maxpool(const PoolLoop& loop, const float* map, float* y, std::uint8_t* argmax, std::size_t images) {
  for_windows(loop, images, [&](const Corner& corner, std::size_t out) {
    channel_blocks(
        loop.out.c, [&]<int kLanes>(int c) __attribute__((always_inline)) {
          pool_window<kLanes>(loop, map + corner.at + c, corner, y + out + c,
                              argmax == nullptr ? nullptr : argmax + out + c);
        });
  });
}

// Gradients of overlapping windows add up, in the order of the windows.
void maxpool_backward(const PoolLoop& loop, const float* __restrict dy, const std::uint8_t* __restrict argmax,
                      float* __restrict dmap, std::size_t images) {
  const auto size = static_cast<unsigned>(loop.window.size);
  std::memset(dmap, 0, map_floats(loop) * images * sizeof(float));
  for_windows(loop, images, [&](const Corner& corner, std::size_t out) {
    for (int c = 0; c < loop.out.c; ++c) {
      const unsigned at = argmax[out + c];
      if (at != kNoArgmax)
        dmap[corner.at + at / size * corner.row + at % size * corner.column + c] += dy[out + c];
    }
  });
}

void avgpool(const PoolLoop& loop, const float* map, float* y, std::size_t images) {
  const float factor = mean_factor(loop);
  const int channels = loop.out.c;
  for_windows(loop, images, [&](const Corner& corner, std::size_t out) {
    float* mean = y + out;
    std::memset(mean, 0, channels * sizeof(float));
    for_positions(loop, corner, [&](std::size_t at) {
      for (int c = 0; c < channels; ++c) mean[c] += map[at + c];
    });
    for (int c = 0; c < channels; ++c) mean[c] *= factor;
  });
}

void avgpool_backward(const PoolLoop& loop, const float* dy, float* dmap, std::size_t images) {
  const float factor = mean_factor(loop);
  const int channels = loop.out.c;
  std::memset(dmap, 0, map_floats(loop) * images * sizeof(float));
  for_windows(loop, images, [&](const Corner& corner, std::size_t out) {
    const float* gradient = dy + out;
    for_positions(loop, corner, [&](std::size_t at) {
      for (int c = 0; c < channels; ++c) dmap[at + c] += gradient[c] * factor;
    });
  });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
