// The kernels of this instruction set. Nothing here may call a function that is not always inlined, except memcpy.
#include "kernels/cpu/portable/kernels.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

template <int L, typename Kernel>
HOST_DEVICE void run_units(const Kernel& kernel, std::uint32_t begin, std::uint32_t end) {
  const std::uint32_t inner = kernel.inner();
  for (std::uint32_t i = begin; i < end; ++i) {
    for (std::uint32_t j = 0; j < inner; ++j) kernel.template unit<L>(i, j);
  }
}

template <typename Kernel>
HOST_DEVICE int lanes_of(const Kernel& kernel) {
  if constexpr (requires { kernel.lanes; }) {
    return kernel.lanes;
  } else if constexpr (requires { kernel.shape.lanes; }) {
    return kernel.shape.lanes;
  } else {
    return 1;
  }
}

template <typename Kernel>
void run(const Kernel& kernel, std::uint32_t begin, std::uint32_t end) {
  switch (lanes_of(kernel)) {
#if TRAINER_LOOPS_LANES >= 16
    case 16:
      return run_units<16>(kernel, begin, end);
#endif
#if TRAINER_LOOPS_LANES >= 8
    case 8:
      return run_units<8>(kernel, begin, end);
#endif
    case 4:
      return run_units<4>(kernel, begin, end);
    default:
      return run_units<1>(kernel, begin, end);
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
