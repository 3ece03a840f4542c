// Why a GPU's clocks are below their peak, in words. The bits are nvmlClocksEventReasons of the NVML API
// Reference; until driver 535 they were called throttle reasons.
#pragma once

#include <string>
#include <vector>

namespace trainer {

// Nothing for 0: the clocks are as high as they go. Bits that are not known appear as their number.
std::vector<std::string> throttle_reasons(unsigned long long bits);

}  // namespace trainer
