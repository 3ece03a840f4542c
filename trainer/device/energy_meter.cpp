#include "trainer/device/energy_meter.hpp"

namespace trainer {

EnergyMeter::EnergyMeter(const DeviceInfo& info, std::optional<double> earlier, const char* library)
    : earlier_(earlier) {
  if (!earlier_ || !info.gpu || info.gpu->mig.value_or(false)) return;
  bus_id_ = info.gpu->pci_bus_id;
  nvml_.emplace(library);
  begin_ = nvml_->energy_joules(bus_id_);
}

std::optional<double> EnergyMeter::used() const {
  if (!begin_) return std::nullopt;
  const std::optional<double> now = nvml_->energy_joules(bus_id_);
  if (!now || *now < *begin_) return std::nullopt;  // smaller: the driver was loaded anew
  return *earlier_ + *now - *begin_;
}

}  // namespace trainer
