// A fiber: a stack of its own and the point on it from which to go on. The threads of a block run on fibers,
// which is what lets hundreds of them wait at a barrier in one thread of the CPU. On x86-64 a switch is a
// dozen instructions, elsewhere swapcontext; AddressSanitizer is told about each.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

class Fiber {
 public:
  using Entry = void (*)();

  Fiber() = default;  // stands for the stack that the caller is on already
  // A stack of its own, between pages that must not be touched. `number` moves its first frame about, or else
  // the frames of all fibers would fall into the same few lines of the cache. `entry` never returns.
  Fiber(Entry entry, unsigned number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves the running fiber, which must be `from`; returns when somebody switches back to it.
  static void change(Fiber& from, Fiber& to);
  // The first words of `entry`.
  static void begin();

  char* top() const { return top_; }
  bool holds(const void* address) const { return address >= mapping_ && address < top_; }

 private:
  char* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  char* top_ = nullptr;
  void* resume_ = nullptr;                 // the stack pointer to go on from
  const void* sanitizer_stack_ = nullptr;  // what AddressSanitizer wants to know of a stack
  std::size_t sanitizer_bytes_ = 0;
  void* fake_stack_ = nullptr;
#if !defined(__x86_64__)
  ucontext_t context_{};
#endif
};

}  // namespace emulator
