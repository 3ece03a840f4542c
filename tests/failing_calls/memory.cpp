// Allocations: each call stack that makes one is listed, or one of them fails. operator new calls malloc.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <execinfo.h>
#include <pthread.h>
#include <sys/mman.h>

#include "tests/failing_calls/control.hpp"

// NOLINTBEGIN: libc's own names and parameters
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}
// NOLINTEND

namespace failing_calls {
namespace {

constexpr int kMostFrames = 40;
constexpr int kOwnFrames = 2;  // of this file, the innermost ones
constexpr std::size_t kMostStacks = std::size_t{1} << 16;

struct CallStack {
  std::uint64_t hash;
  std::uint64_t count;
  std::uint64_t chosen;  // one of its allocations
  int depth;
  void* frames[kMostFrames];
};

CallStack* stacks = nullptr;
pthread_mutex_t stacks_lock = PTHREAD_MUTEX_INITIALIZER;

std::uint64_t next_random() {
  static std::uint64_t state = 2 * control().wanted + 1;
  state ^= state << 13U;
  state ^= state >> 7U;
  state ^= state << 17U;
  return state;
}

void note_stack(void* const* frames, int depth, std::uint64_t number) {
  std::uint64_t hash = 14695981039346656037U;
  for (int i = 0; i < depth; ++i)
    hash = (hash ^ reinterpret_cast<std::uintptr_t>(frames[i])) * 1099511628211U;
  pthread_mutex_lock(&stacks_lock);
  if (stacks == nullptr)
    stacks = static_cast<CallStack*>(::mmap(nullptr, sizeof(CallStack) * kMostStacks, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  std::size_t place = hash % kMostStacks;
  while (stacks[place].count != 0 && stacks[place].hash != hash) place = (place + 1) % kMostStacks;
  CallStack& stack = stacks[place];
  if (stack.count == 0) {
    stack.hash = hash;
    stack.depth = depth;
    for (int i = 0; i < depth; ++i) stack.frames[i] = frames[i];
  }
  if (next_random() % ++stack.count == 0) stack.chosen = number;
  pthread_mutex_unlock(&stacks_lock);
}

__attribute__((noinline)) bool allocation_fails() {
  const Mode mode = control().mode;
  if ((mode != Mode::list_stacks && mode != Mode::fail_memory) || !is_watched()) return false;
  const std::uint64_t number = next_call();
  const bool fails = mode == Mode::fail_memory && number == control().wanted;
  if (mode == Mode::fail_memory && !fails) return false;
  const Own own;
  void* frames[kMostFrames];
  const int depth = ::backtrace(frames, kMostFrames) - kOwnFrames;
  if (fails)
    log_frames(frames + kOwnFrames, depth);
  else
    note_stack(frames + kOwnFrames, depth, number);
  errno = ENOMEM;
  return fails;
}

// "N COUNT module+offset ...": an allocation of the stack, how many there are, and its frames.
__attribute__((destructor)) void list() {
  if (stacks == nullptr || !is_watched()) return;
  const Own own;
  for (std::size_t i = 0; i < kMostStacks; ++i) {
    if (stacks[i].count == 0) continue;
    char text[64];
    const int size =
        std::snprintf(text, sizeof text, "%llu %llu", static_cast<unsigned long long>(stacks[i].chosen),
                      static_cast<unsigned long long>(stacks[i].count));
    log_text(text, static_cast<std::size_t>(size));
    log_frames(static_cast<void**>(stacks[i].frames), stacks[i].depth);
  }
}

}  // namespace
}  // namespace failing_calls

using failing_calls::allocation_fails;

// NOLINTBEGIN
extern "C" {

void* malloc(size_t size) {
  return allocation_fails() ? nullptr : __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  return allocation_fails() ? nullptr : __libc_calloc(count, size);
}

void* realloc(void* block, size_t size) {
  return allocation_fails() ? nullptr : __libc_realloc(block, size);
}

void* memalign(size_t alignment, size_t size) {
  return allocation_fails() ? nullptr : __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  return allocation_fails() ? nullptr : __libc_memalign(alignment, size);
}

int posix_memalign(void** block, size_t alignment, size_t size) {
  if (allocation_fails()) return ENOMEM;
  *block = __libc_memalign(alignment, size);
  return *block != nullptr ? 0 : ENOMEM;
}

}  // extern "C"
// NOLINTEND
