#include "tests/faults/watched_kernels.hpp"

#include <stdexcept>
#include <utility>

#include "tests/faults/counted.hpp"
#include "tests/faults/counted_kernels.hpp"
#include "tests/faults/one_by_one.hpp"

namespace trainer::test {

namespace {

using cpu::PortableKernels;

const PortableKernels& table() {
  return kernel_watch.counted ? *static_cast<const PortableKernels*>(faults::counted_kernels())
                              : one_by_one::kKernels;
}

void ran(const char* kernel) {
  ++kernel_watch.launches;
  const bool calls = kernel_watch.launches == kernel_watch.call_after;
  if (calls || (faults::counter.hit && kernel_watch.hit == nullptr)) kernel_watch.hit = kernel;
  if (calls) std::exchange(kernel_watch.call, {})();
}

template <auto member>
struct Entry;
template <typename... Arguments, void (*PortableKernels::*member)(Arguments...)>
struct Entry<member> {
  template <const char* name>
  static void run(Arguments... arguments) {
    (table().*member)(arguments...);
    ran(name);
  }
};

// NOLINTNEXTLINE(modernize-avoid-c-arrays): as arguments of a template
#define KERNEL(Name) constexpr char k##Name[] = #Name;
#include "kernels/portable/kernel_list.hpp"

}  // namespace

const PortableKernels& watched_kernels() {
  std::size_t number = 0;
#define KERNEL(Name)                                            \
  if (sizeof(portable::Name) != faults::counted_size(number++)) \
    throw std::runtime_error(#Name " has another size over counting numbers");
#include "kernels/portable/kernel_list.hpp"
  static constexpr PortableKernels kTable{
      "watched",
      1,
#define KERNEL(Name) Entry<&PortableKernels::Name>::run<k##Name>,
#include "kernels/portable/kernel_list.hpp"
  };
  return kTable;
}

}  // namespace trainer::test
