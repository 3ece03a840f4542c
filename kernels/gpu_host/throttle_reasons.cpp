#include "kernels/gpu_host/throttle_reasons.hpp"

#include <array>
#include <fmt/format.h>

namespace trainer {

std::vector<std::string> throttle_reasons(unsigned long long bits) {
  static constexpr std::array kNames{
      "idle",                       // 0x001 GpuIdle
      "application clocks set",     // 0x002 ApplicationsClocksSetting
      "power limit",                // 0x004 SwPowerCap
      "hardware slowdown",          // 0x008 HwSlowdown
      "sync boost group",           // 0x010 SyncBoost
      "temperature limit",          // 0x020 SwThermalSlowdown
      "hardware temperature stop",  // 0x040 HwThermalSlowdown
      "external power brake",       // 0x080 HwPowerBrakeSlowdown
      "display clocks set",         // 0x100 DisplayClockSetting
  };
  std::vector<std::string> reasons;
  for (std::size_t bit = 0; bit < kNames.size(); ++bit) {
    if ((bits >> bit & 1) != 0) reasons.emplace_back(kNames[bit]);
  }
  const unsigned long long unknown = bits >> kNames.size() << kNames.size();
  if (unknown != 0) reasons.push_back(fmt::format("reason {:#x}", unknown));
  return reasons;
}

}  // namespace trainer
