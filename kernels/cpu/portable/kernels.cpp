// The kernels of this instruction set. Nothing here may call a function that is not always inlined, except memcpy.
#include "kernels/cpu/portable/kernels.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// Runs a copy of the kernel: what a unit writes cannot lie in it, as the compiler sees.
template <int L, int V, typename Kernel>
void run_units(const Kernel kernel, int begin, int end) {
  const portable::Units units = kernel.units();
  for (int i = begin; i < end; ++i) {
    for (int j = 0; j < units.middle; ++j) {
      for (int k = 0; k < units.inner; ++k) portable::run_unit<L, V>(kernel, i, j, k);
    }
  }
}

template <int L, typename Kernel>
void run_vectors(const Kernel& kernel, int begin, int end) {
  if (kernel.tile.vectors == 3) return run_units<L, 3>(kernel, begin, end);
  if (kernel.tile.vectors == 2) return run_units<L, 2>(kernel, begin, end);
  run_units<L, 1>(kernel, begin, end);
}

template <typename Kernel>
void run(const Kernel& kernel, int begin, int end) {
  if constexpr (requires { kernel.tile; }) {
    if (kernel.tile.lanes == 4) return run_vectors<4>(kernel, begin, end);
    if constexpr (TRAINER_LOOPS_LANES >= 8) {
      if (kernel.tile.lanes == 8) return run_vectors<8>(kernel, begin, end);
    }
    if constexpr (TRAINER_LOOPS_LANES >= 16) {
      if (kernel.tile.lanes == 16) return run_vectors<16>(kernel, begin, end);
    }
  } else {
    run_units<1, 1>(kernel, begin, end);
  }
}

}  // namespace

const PortableKernels& portable_kernels() {
  static constexpr PortableKernels kTable{
      TRAINER_LOOPS_NAME,
      TRAINER_LOOPS_LANES,
#define KERNEL(Name) run<portable::Name>,
#include "kernels/portable/kernel_list.hpp"
  };
  return kTable;
}

}  // namespace trainer::cpu::TRAINER_LOOPS
