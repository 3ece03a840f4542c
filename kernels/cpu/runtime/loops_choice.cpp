// Picks the loops for the best instruction set that this processor has.
#include "kernels/cpu/runtime/loops.hpp"

namespace trainer::cpu {

// The tables of kernels/cpu/loops/, in the namespace of their instruction set.
#define TRAINER_TABLE(space, type, name) \
  namespace space {                      \
  const type& name();                    \
  }
#if defined(__x86_64__)
TRAINER_TABLE(v2, Loops, table)
TRAINER_TABLE(v3, Loops, table)
TRAINER_TABLE(v4, Loops, table)
TRAINER_TABLE(v4bf16, Bf16Loops, bf16_table)
#else
TRAINER_TABLE(base, Loops, table)
#endif

std::vector<const Loops*> usable_loops() {
#if defined(__x86_64__)
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
#else
  return {&base::table()};
#endif
}

const Bf16Loops* bf16_loops() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16") && &best_loops() == &v4::table()) return &v4bf16::bf16_table();
#endif
  return nullptr;
}

const Loops& best_loops() {
  return *usable_loops().front();
}

}  // namespace trainer::cpu
