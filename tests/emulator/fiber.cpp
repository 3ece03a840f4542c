#include "tests/emulator/fiber.hpp"

#include <cstdlib>
#include <new>
#include <sys/mman.h>

#include "tests/emulator/sanitizer.hpp"

#if defined(__x86_64__)
// void emulator_change_stack(void** save, void* resume): saves the callee-saved registers on the old stack and
// continues where the new stack was left.
extern "C" void emulator_change_stack(void** save, void* resume);
asm(R"(
.text
.align 16
.globl emulator_change_stack
.hidden emulator_change_stack
.type emulator_change_stack, @function
emulator_change_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_change_stack, .-emulator_change_stack
)");
#endif

namespace emulator {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kStack = (kAddressSanitizer ? 64 : 16) * kPage;
constexpr std::size_t kColours = 15;
constexpr std::size_t kColourBytes = 17 * 64;

Fiber* left = nullptr;  // the fiber that the latest switch left

void before_change([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* stack,
                   [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#endif
}

void after_change([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** old_stack,
                  [[maybe_unused]] std::size_t* old_bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, old_stack, old_bytes);
#endif
}

}  // namespace

Fiber::Fiber(Entry entry, unsigned number)
    : mapped_(kStack + 2 * kPage + kColours * kColourBytes / kPage * kPage) {
  void* mapping =
      mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<char*>(mapping);
  mprotect(mapping_, kPage, PROT_NONE);
  top_ = mapping_ + mapped_ - number % kColours * kColourBytes;
  sanitizer_stack_ = mapping_ + kPage;
  sanitizer_bytes_ = static_cast<std::size_t>(top_ - mapping_) - kPage;
#if defined(__x86_64__)
  constexpr int kSavedRegisters = 6;
  auto* frame =
      reinterpret_cast<std::uintptr_t*>(reinterpret_cast<std::uintptr_t>(top_) & ~std::uintptr_t{15});
  *--frame = 0;  // in place of a return address: `entry` finds the stack as after a call
  *--frame = reinterpret_cast<std::uintptr_t>(entry);
  for (int i = 0; i < kSavedRegisters; ++i) *--frame = 0;
  resume_ = frame;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = mapping_ + kPage;
  context_.uc_stack.ss_size = sanitizer_bytes_;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#endif
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
  allow_access(mapping_, mapped_);  // frames that are never resumed
  munmap(mapping_, mapped_);
}

void Fiber::change(Fiber& from, Fiber& to) {
  left = &from;
  before_change(&from.fake_stack_, to.sanitizer_stack_, to.sanitizer_bytes_);
#if defined(__x86_64__)
  emulator_change_stack(&from.resume_, to.resume_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
  after_change(from.fake_stack_, &left->sanitizer_stack_, &left->sanitizer_bytes_);
}

void Fiber::begin() {
  after_change(nullptr, &left->sanitizer_stack_, &left->sanitizer_bytes_);
}

}  // namespace emulator
