// The need is the address space of the process when the check runs, the plan's arrays, the threads' stacks, and an allowance for
// what libraries take beside them (oneDNN's code and reordered weights). Without the allowance the sum was within 10 MiB of the peak
// (VmPeak) in seven trainings of `quick`, `lenet` and `pytorch-example` with one thread (glibc 2.36, oneDNN 2.6); the allowance is
// several times that, since a call of oneDNN that gets no memory crashes.
#include "trainer/device/memory_need.hpp"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <fmt/format.h>
#include <fstream>
#include <malloc.h>
#include <new>
#include <sys/resource.h>
#include <unistd.h>

#include "kernels/backend.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

constexpr std::uint64_t kMebibyte = 1 << 20;
constexpr std::uint64_t kLibraryBytes = 48 * kMebibyte;
constexpr std::uint64_t kUsualStack = 8 * kMebibyte;

std::uint64_t limit_of(__rlimit_resource resource) {
  rlimit limit{};
  return getrlimit(resource, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

std::uint64_t address_space_bytes() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// A library's function that may not throw does not tell which exception it was.
std::atomic<bool> was_refused = false;

[[noreturn]] void refuse_memory() {
  was_refused = true;
  throw std::bad_alloc();
}

[[noreturn]] void end_for_want_of_memory() {
  const std::exception_ptr current = std::current_exception();
  bool is_other = current == nullptr && !was_refused;
  try {
    if (current != nullptr) std::rethrow_exception(current);
  } catch (const std::bad_alloc&) {
  } catch (...) {
    is_other = true;
  }
  if (is_other) std::abort();
  constexpr std::string_view kText = "error: out of memory\n";
  static_cast<void>(!write(STDERR_FILENO, kText.data(), kText.size()));
  _exit(1);
}

// Before all other initialisers.
[[gnu::constructor(101)]] void begin() {
  expect_refused_memory();
}

}  // namespace

void limit_malloc_arenas() {
  if (limit_of(RLIMIT_AS) != RLIM_INFINITY) mallopt(M_ARENA_MAX, 1);
}

std::string memory_refusal(std::string_view what) {
  const std::uint64_t limit = limit_of(RLIMIT_AS);
  if (limit == RLIM_INFINITY)
    return fmt::format("{}: the system or a limit (ulimit -a) grants no more", what);
  return fmt::format("{}: {} MiB of address space are in use, and the limit is {} MiB: raise it (ulimit -v)",
                     what, address_space_bytes() / kMebibyte, limit / kMebibyte);
}

void require_address_space(std::string_view who, std::uint64_t bytes, int threads) {
  const std::uint64_t limit = limit_of(RLIMIT_AS);
  if (limit == RLIM_INFINITY) return;
  const std::uint64_t stack = limit_of(RLIMIT_STACK);
  const std::uint64_t stacks =
      static_cast<std::uint64_t>(threads) * (stack == RLIM_INFINITY ? kUsualStack : stack);
  const std::uint64_t needed = address_space_bytes() + bytes + kLibraryBytes + stacks;
  if (needed <= limit) return;
  throw BackendError(fmt::format(
      "{} with {} thread{} needs {} MiB of address space, and the limit is {} MiB: raise it (ulimit -v), or "
      "use a smaller --batch or fewer --threads",
      who, threads, threads == 1 ? "" : "s", (needed + kMebibyte - 1) / kMebibyte, limit / kMebibyte));
}

void require_memory(const Plan& plan, std::uint64_t copies, const DeviceInfo& info) {
  if (info.kind != "cpu") return;
  // Activations and their gradients, parameters and what training holds for each.
  const std::uint64_t needed = 2 * plan.activation_bytes + copies * plan.parameters * sizeof(float);
  const std::uint64_t available = info.cpu.available_bytes;
  if (available > 0 && needed > available) {
    constexpr double kGibibyte = 1 << 30;
    throw UsageError(fmt::format(
        "--batch {}: '{}' needs at least {:.1f} GiB, and {:.1f} GiB are available; use a smaller batch",
        plan.input.batch, plan.model, static_cast<double>(needed) / kGibibyte,
        static_cast<double>(available) / kGibibyte));
  }
  // What backward needs of forward and the workspace are together no larger than the activations.
  require_address_space(fmt::format("'{}'", plan.model), needed + plan.activation_bytes, info.cpu.threads);
}

void expect_refused_memory() {
  std::set_new_handler(refuse_memory);
  std::set_terminate(end_for_want_of_memory);
}

}  // namespace trainer
