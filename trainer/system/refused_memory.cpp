#include "trainer/system/refused_memory.hpp"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>
#include <unistd.h>

namespace trainer {
namespace {

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

void expect_refused_memory() {
  std::set_new_handler(refuse_memory);
  std::set_terminate(end_for_want_of_memory);
}

}  // namespace trainer
