// Picks the loops for the best instruction set that this processor has.
#include "kernels/cpu/runtime/loops.hpp"

namespace trainer::cpu {

#if defined(__x86_64__)
namespace v2 {
const Loops& table();
}
namespace v3 {
const Loops& table();
}
namespace v4 {
const Loops& table();
}

namespace v4bf16 {
const Bf16Loops& bf16_table();
}

std::vector<const Loops*> usable_loops() {
  __builtin_cpu_init();
  std::vector<const Loops*> usable;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512vl")) {
    usable.push_back(&v4::table());
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
    usable.push_back(&v3::table());
  usable.push_back(&v2::table());
  return usable;
}

const Bf16Loops* bf16_loops() {
  __builtin_cpu_init();
  const bool bf16 = __builtin_cpu_supports("avx512bf16") && &best_loops() == &v4::table();
  return bf16 ? &v4bf16::bf16_table() : nullptr;
}
#else
namespace base {
const Loops& table();
}

std::vector<const Loops*> usable_loops() {
  return {&base::table()};
}

const Bf16Loops* bf16_loops() {
  return nullptr;
}
#endif

const Loops& best_loops() {
  return *usable_loops().front();
}

}  // namespace trainer::cpu
