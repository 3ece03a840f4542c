// What counted_kernels.cpp compiles: the table cpu::PortableKernels, whose functions take kernels of the same layout.
#pragma once

#include <cstddef>

namespace faults {

const void* counted_kernels();
std::size_t counted_size(std::size_t kernel);  // of the struct with this number in kernel_list.hpp

}  // namespace faults
