// AddressSanitizer's interface if it is enabled, else empty functions.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressSanitizer = true;
inline void forbid_access(const void* begin, std::size_t bytes) {
  __asan_poison_memory_region(begin, bytes);
}
inline void allow_access(const void* begin, std::size_t bytes) {
  __asan_unpoison_memory_region(begin, bytes);
}
// Reads the first poisoned byte, if there is one, so that AddressSanitizer reports it.
inline void look_at_access(const void* begin, std::size_t bytes) {
  const void* forbidden = __asan_region_is_poisoned(const_cast<void*>(begin), bytes);
  if (forbidden != nullptr) static_cast<void>(*static_cast<const volatile char*>(forbidden));
}
#else
constexpr bool kAddressSanitizer = false;
inline void forbid_access(const void*, std::size_t) {}
inline void allow_access(const void*, std::size_t) {}
inline void look_at_access(const void*, std::size_t) {}
#endif

}  // namespace emulator

// For functions that inspect bands and gaps, which are poisoned, and for loops over memory that has been checked.
#if defined(__SANITIZE_ADDRESS__)
#define EMULATOR_UNCHECKED __attribute__((no_sanitize("address", "undefined"), noinline))
#else
#define EMULATOR_UNCHECKED
#endif
