// The portable kernels once more, one output at a time, over numbers that count: in a namespace of their own, with `float` and `double`
// replaced. Whatever the kernels include beside themselves is included before that.
#include "tests/faults/counted_kernels.hpp"

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/faults/counted.hpp"

namespace faults {
using Float = Counted<float>;
using Double = Counted<double>;
}  // namespace faults
namespace std {
// NOLINTNEXTLINE(cert-dcl58-cpp): kernels/math calls std::sqrt
template <typename T>
faults::Counted<T> sqrt(faults::Counted<T> a) {
  return counted_root(a);
}
}  // namespace std

#define __CUDACC__  // as for a GPU, whose lanes are no vectors
#define __host__
#define __device__
#define __forceinline__ inline
#define __builtin_memcpy faults::counted_copy
#define __builtin_bit_cast(To, from) faults::counted_bits<To>(from)
#define __builtin_sqrtf counted_root
#define __builtin_sqrt counted_root
#define trainer counted_trainer
#define float faults::Float
#define double faults::Double
#define TRAINER_LOOPS one_by_one
#define TRAINER_LOOPS_NAME "counted"
#define TRAINER_LOOPS_LANES 1
#include "kernels/cpu/portable/kernels.cpp"
#undef float
#undef double
#undef trainer

namespace faults {

const void* counted_kernels() {
  return &counted_trainer::cpu::one_by_one::portable_kernels();
}

std::size_t counted_size(std::size_t kernel) {
  static const std::size_t sizes[] = {
#define KERNEL(Name) sizeof(counted_trainer::portable::Name),
#include "kernels/portable/kernel_list.hpp"
  };
  return sizes[kernel];
}

}  // namespace faults
