// The loops of one instruction set: every source in this folder is compiled once for each set, inside a
// namespace of its own (TRAINER_LOOPS: v2, v3, v4, v4bf16, base), so that the linker never mixes them.
// Nothing here may call a function that is not always inlined, except memcpy and the math library.
#pragma once

#include "kernels/cpu/runtime/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

#define LOOP(name, ...) void name(__VA_ARGS__);
#define BF16_LOOP(name, ...) void name(__VA_ARGS__);
#include "kernels/cpu/runtime/loop_list.hpp"

const Loops& table();
const Bf16Loops& bf16_table();

}  // namespace trainer::cpu::TRAINER_LOOPS
