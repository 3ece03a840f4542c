// Vectors of kLanes floats and what goes with them, in the compilers' own vector extension: the operators
// work lane by lane, comparisons give masks that the conditional operator takes, and every width compiles for
// every instruction set. One lane is the plain scalar, for what is left over.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/math/host_device.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

template <int kLanes>
struct VectorOf;

template <>
struct VectorOf<1> {
  using Float = float;
  using Int = std::int32_t;
  using Byte = std::uint8_t;
};

template <>
struct VectorOf<4> {
  typedef float Float __attribute__((vector_size(16)));
  typedef std::int32_t Int __attribute__((vector_size(16)));
  typedef std::uint8_t Byte __attribute__((vector_size(4)));
};

template <>
struct VectorOf<8> {
  typedef float Float __attribute__((vector_size(32)));
  typedef std::int32_t Int __attribute__((vector_size(32)));
  typedef std::uint8_t Byte __attribute__((vector_size(8)));
};

template <>
struct VectorOf<16> {
  typedef float Float __attribute__((vector_size(64)));
  typedef std::int32_t Int __attribute__((vector_size(64)));
  typedef std::uint8_t Byte __attribute__((vector_size(16)));
};

// Lane by lane to another element type of as many lanes.
template <typename To, typename From>
HOST_DEVICE To convert(const From& from) {
  if constexpr (sizeof(From) == 1 || sizeof(To) == 1) {
    return static_cast<To>(from);
  } else {
    return __builtin_convertvector(from, To);
  }
}

// Calls body<lanes>() for lanes of 4, 8 or 16, of which only those are compiled that this instruction set
// has.
template <typename Body>
HOST_DEVICE void with_lanes(int lanes, const Body& body) {
  if constexpr (TRAINER_LOOPS_LANES >= 16) {
    if (lanes == 16) return body.template operator()<16>();
  }
  if constexpr (TRAINER_LOOPS_LANES >= 8) {
    if (lanes == 8) return body.template operator()<8>();
  }
  body.template operator()<4>();
}

// From and to any address.
template <typename Vector, typename Element>
HOST_DEVICE Vector load(const Element* at) {
  Vector value;
  __builtin_memcpy(&value, at, sizeof(value));
  return value;
}

template <typename Vector, typename Element>
HOST_DEVICE void store(Element* at, const Vector& value) {
  __builtin_memcpy(at, &value, sizeof(value));
}

// The first `count` lanes, where there are fewer than all; the others are zero on loading.
template <typename Vector, typename Element>
HOST_DEVICE void store_some(Element* at, const Vector& value, int count) {
  if (static_cast<std::size_t>(count) * sizeof(Element) >= sizeof(Vector)) {
    store(at, value);
  } else {
    __builtin_memcpy(at, &value, static_cast<std::size_t>(count) * sizeof(Element));
  }
}

template <typename Vector, typename Element>
HOST_DEVICE Vector load_some(const Element* at, int count) {
  if (static_cast<std::size_t>(count) * sizeof(Element) >= sizeof(Vector)) return load<Vector>(at);
  Vector value{};
  __builtin_memcpy(&value, at, static_cast<std::size_t>(count) * sizeof(Element));
  return value;
}

}  // namespace trainer::cpu::TRAINER_LOOPS
