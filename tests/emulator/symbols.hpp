// Names of kernels. They are in anonymous namespaces, so that the dynamic linker does not know them: they are
// read from the symbol table of the program itself.
#pragma once

#include <string>

namespace emulator {

// Without namespaces, template arguments and parameters: "softmax_kernel". "kernel" where the program was
// stripped.
std::string kernel_name(const void* symbol);

}  // namespace emulator
