// CUDA's vector types, aligned as on a device (so that the sanitizers see a misaligned load), and a thread's position:
// threadIdx, blockIdx, blockDim, gridDim.
#pragma once

#define EMULATED_VECTOR2(name, type)        \
  struct alignas(2 * sizeof(type)) name {   \
    type x, y;                              \
  };                                        \
  inline name make_##name(type x, type y) { \
    return {x, y};                          \
  }

#define EMULATED_VECTOR3(name, type)                \
  struct name {                                     \
    type x, y, z;                                   \
  };                                                \
  inline name make_##name(type x, type y, type z) { \
    return {x, y, z};                               \
  }

// A device loads at most 16 bytes at once, so this is the largest alignment.
#define EMULATED_VECTOR4(name, type)                              \
  struct alignas(sizeof(type) < 4 ? 4 * sizeof(type) : 16) name { \
    type x, y, z, w;                                              \
  };                                                              \
  inline name make_##name(type x, type y, type z, type w) {       \
    return {x, y, z, w};                                          \
  }

#define EMULATED_VECTORS(name, type) \
  EMULATED_VECTOR2(name##2, type)    \
  EMULATED_VECTOR3(name##3, type)    \
  EMULATED_VECTOR4(name##4, type)

EMULATED_VECTORS(char, signed char)
EMULATED_VECTORS(uchar, unsigned char)
EMULATED_VECTORS(short, short)
EMULATED_VECTORS(ushort, unsigned short)
EMULATED_VECTORS(int, int)
EMULATED_VECTORS(uint, unsigned)
EMULATED_VECTORS(float, float)
EMULATED_VECTOR2(double2, double)
EMULATED_VECTOR2(longlong2, long long)
EMULATED_VECTOR2(ulonglong2, unsigned long long)

#undef EMULATED_VECTORS
#undef EMULATED_VECTOR2
#undef EMULATED_VECTOR3
#undef EMULATED_VECTOR4

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace emulator {

// The position of the running thread, set by the scheduler (block.cpp) at every switch.
struct Position {
  uint3 thread;
  uint3 block;
  dim3 block_size;
  dim3 grid_size;
};
extern Position position;

}  // namespace emulator

inline constexpr const uint3& threadIdx = emulator::position.thread;
inline constexpr const uint3& blockIdx = emulator::position.block;
inline constexpr const dim3& blockDim = emulator::position.block_size;
inline constexpr const dim3& gridDim = emulator::position.grid_size;
inline constexpr int warpSize = 32;
