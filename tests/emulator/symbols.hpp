// Names of kernels. Kernels are in anonymous namespaces, which the dynamic linker does not know, so their names are
// read from the program's own symbol table.
#pragma once

#include <string>

namespace emulator {

// The name without namespaces, template arguments and parameters: "softmax_kernel"; "kernel" if the program was
// stripped.
std::string kernel_name(const void* symbol);

}  // namespace emulator
