// The table of this instruction set's loops.
#include "kernels/cpu/loops/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

const Loops& table() {
  static constexpr Loops kTable{
      TRAINER_LOOPS_NAME,
      TRAINER_LOOPS_LANES,
#define LOOP(name, ...) name,
#include "kernels/cpu/runtime/loop_list.hpp"
  };
  return kTable;
}

}  // namespace trainer::cpu::TRAINER_LOOPS
