// A fiber: its own stack and the point at which to continue. The threads of a block run on fibers, so that hundreds of
// them can wait at a barrier in one CPU thread. On x86-64 a switch takes a dozen instructions, elsewhere it is
// swapcontext; AddressSanitizer is told about each.
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

  Fiber() = default;  // stands for the stack that the caller is already on
  // Makes a stack between guard pages. `number` shifts its first frame, because the frames of all fibers would
  // otherwise fall into the same few cache lines. `entry` never returns.
  Fiber(Entry entry, unsigned number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves the running fiber, which must be `from`; returns when another fiber switches back to it.
  static void change(Fiber& from, Fiber& to);
  // `entry` calls it first.
  static void begin();

  char* top() const { return top_; }
  bool holds(const void* address) const { return address >= mapping_ && address < top_; }

 private:
  char* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  char* top_ = nullptr;
  void* resume_ = nullptr;                 // the stack pointer to resume from
  const void* sanitizer_stack_ = nullptr;  // the stack's bounds for AddressSanitizer
  std::size_t sanitizer_bytes_ = 0;
  void* fake_stack_ = nullptr;
#if !defined(__x86_64__)
  ucontext_t context_{};
#endif
};

}  // namespace emulator
