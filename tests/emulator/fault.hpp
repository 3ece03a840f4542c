// Faults at an address. In a kernel they end the launch, as on a GPU; of the host's own access to device
// memory they say what it was before the program ends. Not under AddressSanitizer, which reports with a
// stack.
#pragma once

namespace emulator {

// Once for each thread of the host that runs kernels.
void catch_faults();

}  // namespace emulator
