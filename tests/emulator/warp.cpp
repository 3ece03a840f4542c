// Shuffles, votes and tensor operations of a block's warps (block.hpp). The lanes that a mask names wait until the last
// of them arrives, which then gives each its result.
#include <bit>
#include <fmt/format.h>
#include <utility>

#include "tests/emulator/block.hpp"
#include "tests/emulator/places.hpp"
#include "tests/emulator/rounding.hpp"

namespace emulator {

std::uint64_t Block::wait_for_warp(const WarpCall& call) {
  Thread& self = *current_;
  if (is_wrong(self, call)) fail(cudaErrorLaunchFailure, mask_fault(self, call));
  Warp& warp = warps_[static_cast<std::size_t>(self.number / kWarp)];
  self.call = call;
  warp.waiting |= 1U << static_cast<unsigned>(self.number % kWarp);
  if ((warp.waiting & call.mask) == call.mask) {
    open_warp(self, warp);
    warp.waiting &= ~call.mask;
  } else {
    self.state = State::in_warp;
    park(self);
  }
  return self.answer;
}

bool Block::is_wrong(const Thread& self, const WarpCall& call) const {
  const Warp& warp = warps_[static_cast<std::size_t>(self.number / kWarp)];
  return !has(call.mask, self.number % kWarp) || (call.mask & ~warp.present) != 0 ||
         (call.source >= 0 && !has(call.mask, call.source));
}

// Describes what is wrong with the mask of a call.
std::string Block::mask_fault(const Thread& self, const WarpCall& call) const {
  const Warp& warp = warps_[static_cast<std::size_t>(self.number / kWarp)];
  const int lane = self.number % kWarp;
  const auto complaint = [&](const std::string& what) {
    return fmt::format("thread {} (lane {}) at {} ({}): the mask {:08x} {}", self.number, lane, call.name,
                       text(call.place), call.mask, what);
  };
  if (!has(call.mask, lane)) return complaint("does not name the lane itself");
  if (const unsigned missing = call.mask & ~warp.present; missing != 0) {
    return complaint(
        fmt::format("names lane {}, which has returned or does not exist", std::countr_zero(missing)));
  }
  return complaint(fmt::format("does not name lane {}, whose value is asked for", call.source));
}

// All lanes of the mask have arrived: gives each its result and makes all but the last one ready.
void Block::open_warp(const Thread& last, const Warp& warp) {
  const int first = last.number / kWarp * kWarp;
  const unsigned mask = last.call.mask;
  for (unsigned rest = mask & warp.waiting; rest != 0; rest &= rest - 1) {
    Thread& thread = threads_[static_cast<std::size_t>(first + std::countr_zero(rest))];
    if (thread.call.kind != last.call.kind || thread.call.mask != mask ||
        !same(thread.call.place, last.call.place)) {
      std::string why = fmt::format(
          "thread {} is at {} ({}), mask {:08x}, thread {} at {} ({}), mask {:08x}: not the "
          "same operation",
          last.number, last.call.name, text(last.call.place), mask, thread.number, thread.call.name,
          text(thread.call.place), thread.call.mask);
      fail(cudaErrorLaunchFailure, std::move(why));
    }
    thread.answer = answer(thread, first);
    if (&thread != &last) make_ready(thread);
  }
  if (last.call.kind == WarpKind::tensor) multiply_tf32(first);
}

// Products of truncated factors are exact in double; their sum is truncated to a float. A device truncates each addend
// at the last bit of the largest one, so cancelling addends leave a slightly larger error there.
void Block::multiply_tf32(int first) const {
  const auto lane = [&](int number) {
    const Thread& thread = threads_[static_cast<std::size_t>(first + number)];
    return *reinterpret_cast<const TensorOperands*>(static_cast<std::uintptr_t>(thread.call.value));
  };
  double a[16][8];
  double b[8][8];
  for (int l = 0; l < kWarp; ++l) {
    const int g = l / 4;
    const int t = l % 4;
    const TensorOperands own = lane(l);
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = cut_to_tf32(own.a[i]);
    for (int i = 0; i < 2; ++i) b[t + i * 4][g] = cut_to_tf32(own.b[i]);
  }
  for (int l = 0; l < kWarp; ++l) {
    const TensorOperands own = lane(l);
    for (int i = 0; i < 4; ++i) {
      const int row = l / 4 + i / 2 * 8;
      const int column = l % 4 * 2 + i % 2;
      double sum = own.d[i];
      for (int k = 0; k < 8; ++k) sum += a[row][k] * b[k][column];
      own.d[i] = cut_to_float(sum);
    }
  }
}

std::uint64_t Block::answer(const Thread& thread, int first) {
  const WarpCall& call = thread.call;
  const auto value = [&](int lane) { return threads_[static_cast<std::size_t>(first + lane)].call.value; };
  if (call.kind == WarpKind::shuffle) return call.source < 0 ? call.value : value(call.source);
  if (call.kind == WarpKind::sync || call.kind == WarpKind::tensor) return 0;
  std::uint64_t lanes = 0;
  for (unsigned rest = call.mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const bool counts = call.kind == WarpKind::match ? value(lane) == call.value : value(lane) != 0;
    if (counts) lanes |= std::uint64_t{1} << static_cast<unsigned>(lane);
  }
  return lanes;
}

}  // namespace emulator
