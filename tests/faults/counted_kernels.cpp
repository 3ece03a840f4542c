// The portable kernels once more, over numbers that count: in a namespace of their own, with `float` and `double`
// replaced. Whatever the kernels include beside themselves is included before that.
#include "tests/faults/counted_kernels.hpp"

#include <cfloat>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tests/faults/counted.hpp"

namespace faults {
using Float = Counted<float>;
using Double = Counted<double>;
}  // namespace faults
// For what kernels/ has beside the kernels: seconds, and the factor of a matrix.
template <typename T>
struct std::chrono::treat_as_floating_point<faults::Counted<T>> : std::true_type {};
namespace std {
template <typename T>
faults::Counted<T> sqrt(faults::Counted<T> a) {  // NOLINT(cert-dcl58-cpp)
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
#include "tests/faults/one_by_one.hpp"
#undef float
#undef double
#undef trainer

namespace faults {

const void* counted_kernels() {
  return &counted_trainer::test::one_by_one::kKernels;
}

std::size_t counted_size(std::size_t kernel) {
  static const std::size_t sizes[] = {
#define KERNEL(Name) sizeof(counted_trainer::portable::Name),
#include "kernels/portable/kernel_list.hpp"
  };
  return sizes[kernel];
}

}  // namespace faults
