// Collective operations of a block or a warp: barriers, shuffles, votes. Each call carries its place in the source, so
// that threads waiting at different places are detected (block.cpp).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace emulator {

struct Place {
  const char* file;
  int line;
};

enum class BarrierKind { sync, any, all, count, grid };
enum class WarpKind { sync, shuffle, ballot, match, tensor };

struct WarpCall {
  WarpKind kind;
  const char* name;
  unsigned mask;
  std::uint64_t value;  // what this lane contributes
  int source;           // the lane whose value it reads; -1: its own
  Place place;
};

// Both return when all threads have arrived. A shuffle returns the source's value, a ballot the lanes' bits; a tensor
// operation (tensor_cores.hpp) leaves its result in memory.
int wait_for_block(BarrierKind kind, const char* name, int value, Place place);
std::uint64_t wait_for_warp(const WarpCall& call);
int lane_of_thread();
// Ends the launch with a sticky error; never returns to the thread.
[[noreturn]] void trap(const char* what, Place place);

template <typename T>
T shuffle(const char* name, unsigned mask, T value, int source, Place place) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = wait_for_warp({WarpKind::shuffle, name, mask, bits, source, place});
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The lane to read, in segments of `width` lanes; its own (-1) if `offset` leads out of the segment.
inline int within(int lane, int offset, int width) {
  const int first = lane / width * width;
  const int source = lane + offset;
  return source < first || source >= first + width ? -1 : source;
}

}  // namespace emulator

#define EMULATED_PLACE emulator::Place place = {__builtin_FILE(), __builtin_LINE()}

inline void __syncthreads(EMULATED_PLACE) {
  emulator::wait_for_block(emulator::BarrierKind::sync, "__syncthreads", 0, place);
}
inline int __syncthreads_or(int value, EMULATED_PLACE) {
  return emulator::wait_for_block(emulator::BarrierKind::any, "__syncthreads_or", value, place);
}
inline int __syncthreads_and(int value, EMULATED_PLACE) {
  return emulator::wait_for_block(emulator::BarrierKind::all, "__syncthreads_and", value, place);
}
inline int __syncthreads_count(int value, EMULATED_PLACE) {
  return emulator::wait_for_block(emulator::BarrierKind::count, "__syncthreads_count", value, place);
}

inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, EMULATED_PLACE) {
  emulator::wait_for_warp({emulator::WarpKind::sync, "__syncwarp", mask, 0, -1, place});
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATED_PLACE) {
  const int first = emulator::lane_of_thread() / width * width;
  return emulator::shuffle("__shfl_sync", mask, value, first + (source & (width - 1)), place);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATED_PLACE) {
  const int source = emulator::within(emulator::lane_of_thread(), -static_cast<int>(delta), width);
  return emulator::shuffle("__shfl_up_sync", mask, value, source, place);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATED_PLACE) {
  const int source = emulator::within(emulator::lane_of_thread(), static_cast<int>(delta), width);
  return emulator::shuffle("__shfl_down_sync", mask, value, source, place);
}
// A partner in a later segment is not read, but one in an earlier segment is.
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, EMULATED_PLACE) {
  const int lane = emulator::lane_of_thread();
  const int partner = lane ^ lane_mask;
  const int end = lane / width * width + width;
  return emulator::shuffle("__shfl_xor_sync", mask, value, partner < end ? partner : -1, place);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATED_PLACE) {
  const std::uint64_t vote = predicate != 0 ? 1 : 0;
  return static_cast<unsigned>(
      emulator::wait_for_warp({emulator::WarpKind::ballot, "__ballot_sync", mask, vote, -1, place}));
}
inline int __any_sync(unsigned mask, int predicate, EMULATED_PLACE) {
  const std::uint64_t vote = predicate != 0 ? 1 : 0;
  return emulator::wait_for_warp({emulator::WarpKind::ballot, "__any_sync", mask, vote, -1, place}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMULATED_PLACE) {
  const std::uint64_t vote = predicate != 0 ? 1 : 0;
  return emulator::wait_for_warp({emulator::WarpKind::ballot, "__all_sync", mask, vote, -1, place}) == mask;
}
// The lanes that contribute the same value as the caller.
template <typename T>
unsigned __match_any_sync(unsigned mask, T value, EMULATED_PLACE) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return static_cast<unsigned>(
      emulator::wait_for_warp({emulator::WarpKind::match, "__match_any_sync", mask, bits, -1, place}));
}

[[noreturn]] inline void __trap(EMULATED_PLACE) {
  emulator::trap("__trap()", place);
}
#undef EMULATED_PLACE
