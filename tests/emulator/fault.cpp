#include "tests/emulator/fault.hpp"

#include <cstdint>
#include <fmt/format.h>
#include <memory>
#include <signal.h>
#include <string>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

#include "tests/emulator/block.hpp"
#include "tests/emulator/sanitizer.hpp"
#include "tests/emulator/state.hpp"

namespace emulator {
namespace {

const void* fault_address = nullptr;

// Execution continues here after a fault in a kernel, on the fiber of the faulting thread.
[[noreturn]] void fail_at_fault() {
  const char* reason = block().overflowed(fault_address) ? ": its stack is full" : "";
  std::string why = fmt::format("thread {} touched {}{}", block().thread_number(),
                                state().memory.describe(fault_address), reason);
  block().fail(cudaErrorIllegalAddress, std::move(why));
}

// If the fault is a kernel's, redirects the thread to fail_at_fault() and returns true.
bool redirect([[maybe_unused]] void* context) {
#if defined(__x86_64__)
  char* stack = block().stack_for_fault();
  if (stack == nullptr) return false;
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  registers[REG_RSP] = static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(stack) - sizeof(void*));
  registers[REG_RIP] = static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(&fail_at_fault));
  return true;
#else
  return false;
#endif
}

void handle(int signal, siginfo_t* info, void* context) {
  fault_address = info->si_addr;
  if (redirect(context)) return;
  if (state().memory.covers(info->si_addr)) {
    const std::string text =
        fmt::format("emulator: the host touched device memory: {}\n", state().memory.describe(info->si_addr));
    static_cast<void>(!write(STDERR_FILENO, text.data(), text.size()));
  }
  ::signal(signal, SIG_DFL);  // the access is repeated and ends the program
}

}  // namespace

void catch_faults() {
  thread_local std::vector<char> signal_stack;
  if (kAddressSanitizer || !signal_stack.empty()) return;
  constexpr std::size_t kStack = 64 << 10;
  signal_stack.resize(kStack);
  stack_t stack{};
  stack.ss_sp = signal_stack.data();
  stack.ss_size = signal_stack.size();
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_sigaction = &handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace emulator
