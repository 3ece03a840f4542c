// The loops of one instruction set: every source in this folder is compiled once for each set, inside a
// namespace of its own (TRAINER_LOOPS: v2, v3, v4, v4bf16, base), so that the linker never mixes them.
// Nothing here may call a function that is not always inlined, except memcpy and the math library.
//
// Vectors of kLanes floats, and integers and bytes of as many lanes, are in the compilers' vector extension:
// operators work lane by lane, comparisons give masks for the conditional operator, and every width compiles
// for every instruction set. One lane is a plain scalar, for the elements that do not fill a vector.
#pragma once

#include <cstddef>
#include <cstdint>
#if defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>
#define TRAINER_LOOPS_MASKS
#endif

#include "kernels/cpu/runtime/loops.hpp"
#include "kernels/math/host_device.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

#define LOOP(name, ...) void name(__VA_ARGS__);
#define BF16_LOOP(name, ...) void name(__VA_ARGS__);
#include "kernels/cpu/runtime/loop_list.hpp"

const Loops& table();
const Bf16Loops& bf16_table();

template <int kLanes>
struct VectorOf {
  typedef float Float __attribute__((vector_size(4 * kLanes)));
  typedef std::int32_t Int __attribute__((vector_size(4 * kLanes)));
  typedef std::uint8_t Byte __attribute__((vector_size(kLanes)));
};

template <>
struct VectorOf<1> {
  using Float = float;
  using Int = std::int32_t;
  using Byte = std::uint8_t;
};

// Converts lane by lane to another element type of as many lanes. Between bytes and words it goes by 16 bits, because GCC 12
// would convert one lane at a time.
template <typename To, typename From>
HOST_DEVICE To convert(const From& from) {
  if constexpr (sizeof(From) == 1 || sizeof(To) == 1) {
    return static_cast<To>(from);
  } else if constexpr (sizeof(From) != sizeof(To)) {
    typedef std::uint16_t Half
        __attribute__((vector_size((sizeof(From) < sizeof(To) ? sizeof(To) : sizeof(From)) / 2)));
    return __builtin_convertvector(__builtin_convertvector(from, Half), To);
  } else {
    return __builtin_convertvector(from, To);
  }
}

// Calls body<lanes>() for 4, 8 or 16 lanes; only the widths that this instruction set has are compiled.
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

// Calls body<vectors>(c) for blocks of at most kMost vectors, the widest first, that cover channels c up to
// `channels`, a multiple of kLanes.
template <int kLanes, int kMost, typename Body>
HOST_DEVICE void for_vectors(int channels, const Body& body, int c = 0) {
  for (; c + kMost * kLanes <= channels; c += kMost * kLanes) body.template operator()<kMost>(c);
  if constexpr (kMost > 1) for_vectors<kLanes, kMost - 1>(channels, body, c);
}

// Calls body<taps>(k) for blocks of 5, 3 and 1 taps that cover the `kernel` taps of a filter row.
template <typename Body>
HOST_DEVICE void for_taps(int kernel, const Body& body) {
  int k = 0;
  for (; k + 5 <= kernel; k += 5) body.template operator()<5>(k);
  for (; k + 3 <= kernel; k += 3) body.template operator()<3>(k);
  for (; k < kernel; ++k) body.template operator()<1>(k);
}

// Loads and stores need no alignment.
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

// Stores and loads the first `count` lanes, or all lanes if there are fewer; a load sets the other lanes to 0.
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

// The maximum and argmax of a pooling window, one channel per lane. With a ReLU after the pool, a maximum that is not
// above 0 becomes 0 and has no argmax.
template <int kLanes>
struct Maximum {
  typename VectorOf<kLanes>::Float value;
  typename VectorOf<kLanes>::Int argmax;  // row-major index of the first maximum, or kNoArgmax
};

// `at(row, column)` is the value at a position of the window, which has `size` rows and columns.
template <int kLanes, typename At>
HOST_DEVICE Maximum<kLanes> window_maximum(int size, bool relu, const At& at) {
  using Float = typename VectorOf<kLanes>::Float;
  using Int = typename VectorOf<kLanes>::Int;
  Float value = at(0, 0);  // separate variables: GCC would keep a Maximum in memory within the loops
  Int argmax{};
  for (int row = 0, p = 0; row < size; ++row) {
    for (int column = 0; column < size; ++column, ++p) {
      const Float other = at(row, column);
      const auto better = other > value;
      value = better ? other : value;
      argmax = better ? Int{} + p : argmax;
    }
  }
  if (relu) {  // a NaN stays a NaN
    const auto dead = value <= 0;
    value = dead ? Float{} : value;
    argmax = dead ? Int{} + kNoArgmax : argmax;
  }
  return {value, argmax};
}

#ifdef TRAINER_LOOPS_MASKS
// A mask of the first `count` of 16 lanes, which may be more than 16 or none.
HOST_DEVICE __mmask16 first_lanes(int count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFF : count > 0 ? (1 << count) - 1 : 0);
}
#endif

}  // namespace trainer::cpu::TRAINER_LOOPS
