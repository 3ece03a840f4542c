// Several outputs that lie side by side in memory and are computed at once: a vector of L floats on a CPU, one float on a GPU.
// No function adds lanes to one another, so the number of lanes never changes a bit of a result.
#pragma once

#include <cstdint>

#include "kernels/math/host_device.hpp"
#include "kernels/shape.hpp"

namespace trainer::portable {

constexpr int kMostLanes = 16;

#if !defined(__CUDACC__)
template <int L>
struct LaneTypes {  // NOLINTBEGIN: an alias cannot have this attribute
  typedef float Floats __attribute__((vector_size(4 * L)));
  typedef std::uint32_t Words __attribute__((vector_size(4 * L)));
  typedef std::uint8_t Bytes __attribute__((vector_size(L)));
};  // NOLINTEND
#else
template <int L>
struct LaneTypes;
#endif
template <>
struct LaneTypes<1> {
  using Floats = float;
  using Words = std::uint32_t;
  using Bytes = std::uint8_t;
};
template <int L>
using Floats = typename LaneTypes<L>::Floats;
template <int L>
using Words = typename LaneTypes<L>::Words;
template <int L>
using Bytes = typename LaneTypes<L>::Bytes;

// Where image n begins in a map [n, h, w, c].
HOST_DEVICE std::int64_t image_at(int n, const Shape& map) {
  return std::int64_t{n} * map.h * map.w * map.c;
}

// How many gradients are read before the first is used: a GPU's thread has nothing else to do while it waits.
template <int L>
constexpr int kPlaces = L == 1 ? 8 : 1;

// Reads what no unit of the same kernel writes, so that a GPU may do it ahead of its stores.
template <typename V, typename T>
HOST_DEVICE V read(const T* from) {
#if defined(__CUDA_ARCH__)
  return __ldg(from);
#else
  V value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
#endif
}

// Reads L floats, as read() does; the caller may use fewer of them. Every buffer of a portable backend has kMostLanes floats to spare
// at its end.
template <int L>
HOST_DEVICE Floats<L> load(const float* from) {
  return read<Floats<L>>(from);
}
template <int L>
HOST_DEVICE Words<L> load(const std::uint8_t* from) {
  const auto lanes = read<Bytes<L>>(from);
  if constexpr (L == 1) {
    return lanes;
  } else {
    return __builtin_convertvector(lanes, Words<L>);
  }
}

// Writes the first `count` lanes, at most L.
template <int L>
HOST_DEVICE void store(float* to, const Floats<L> lanes, int count) {
  if (count >= L) {
    __builtin_memcpy(to, &lanes, sizeof lanes);
  } else if constexpr (L > 1) {
    for (int i = 0; i < L; ++i) {  // L, not count: an index that is known keeps the lanes in a register
      if (i < count) to[i] = lanes[i];
    }
  }
}
template <int L>
HOST_DEVICE void store(std::uint8_t* to, const Words<L>& lanes, int count) {
  if constexpr (L == 1) {
    if (count > 0) *to = static_cast<std::uint8_t>(lanes);
  } else {
    const Bytes<L> bytes = __builtin_convertvector(lanes, Bytes<L>);
    for (int i = 0; count < L && i < count; ++i) to[i] = bytes[i];
    if (count >= L) __builtin_memcpy(to, &bytes, sizeof bytes);
  }
}

}  // namespace trainer::portable
