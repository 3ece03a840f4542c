// Memory faults. In a kernel they end the launch, as on a GPU; if the host accesses device memory, a message describes
// the access before the program ends. Disabled under AddressSanitizer, which reports a stack trace.
#pragma once

namespace emulator {

// Call it once for each host thread that runs kernels.
void catch_faults();

}  // namespace emulator
