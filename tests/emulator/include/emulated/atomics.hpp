// Atomic operations and fences. Threads take turns and switch only at barriers and warp operations, so plain reads and
// writes suffice. None takes float or double: such sums would depend on the order, and the project promises the same
// bits each time.
#pragma once

namespace emulator {

template <typename T, typename Change>
T exchange(T* address, Change change) {
  const T old = *address;
  *address = change(old);
  return old;
}

}  // namespace emulator

#define EMULATED_ATOMICS(T)                                                                                 \
  inline T atomicAdd(T* address, T value) {                                                                 \
    return emulator::exchange(address, [&](T old) {                                                         \
      return static_cast<T>(static_cast<unsigned long long>(old) + static_cast<unsigned long long>(value)); \
    });                                                                                                     \
  }                                                                                                         \
  inline T atomicMax(T* address, T value) {                                                                 \
    return emulator::exchange(address, [&](T old) { return old < value ? value : old; });                   \
  }                                                                                                         \
  inline T atomicMin(T* address, T value) {                                                                 \
    return emulator::exchange(address, [&](T old) { return value < old ? value : old; });                   \
  }                                                                                                         \
  inline T atomicAnd(T* address, T value) {                                                                 \
    return emulator::exchange(address, [&](T old) { return old & value; });                                 \
  }                                                                                                         \
  inline T atomicOr(T* address, T value) {                                                                  \
    return emulator::exchange(address, [&](T old) { return old | value; });                                 \
  }                                                                                                         \
  inline T atomicXor(T* address, T value) {                                                                 \
    return emulator::exchange(address, [&](T old) { return old ^ value; });                                 \
  }                                                                                                         \
  inline T atomicExch(T* address, T value) {                                                                \
    return emulator::exchange(address, [&](T) { return value; });                                           \
  }                                                                                                         \
  inline T atomicCAS(T* address, T expected, T value) {                                                     \
    return emulator::exchange(address, [&](T old) { return old == expected ? value : old; });               \
  }

EMULATED_ATOMICS(int)
EMULATED_ATOMICS(unsigned)
EMULATED_ATOMICS(unsigned long long)
#undef EMULATED_ATOMICS

float atomicAdd(float* address, float value) = delete;
double atomicAdd(double* address, double value) = delete;

inline int atomicSub(int* address, int value) {
  return atomicAdd(address, -value);
}
inline unsigned atomicSub(unsigned* address, unsigned value) {
  return atomicAdd(address, 0U - value);
}

// Counts up to `limit`, then starts again at 0.
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return emulator::exchange(address, [&](unsigned old) { return old >= limit ? 0U : old + 1; });
}

inline unsigned atomicDec(unsigned* address, unsigned limit) {
  return emulator::exchange(address, [&](unsigned old) { return old == 0 || old > limit ? limit : old - 1; });
}

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
