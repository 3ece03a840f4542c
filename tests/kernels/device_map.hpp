// A map in a backend's memory and element type, which the test reads and writes as floats.
#pragma once

#include <bit>
#include <cmath>

#include "tests/kernels/device_array.hpp"

namespace trainer {

inline float widened(std::uint16_t bits, Element element) {
  if (element == Element::bf16) return std::bit_cast<float>(std::uint32_t{bits} << 16U);
  const int exponent = bits >> 10U & 0x1FU;
  const int digits = bits & 0x3FFU;
  const float sign = (bits & 0x8000U) != 0 ? -1.0F : 1.0F;
  if (exponent == 0x1F) return digits == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(digits), -24);
  return sign * std::ldexp(static_cast<float>(digits + 0x400), exponent - 25);
}

class DeviceMap {
 public:
  // A poisoned map.
  DeviceMap(Backend& backend, std::size_t count, std::string_view what)
      : backend_(&backend), array_(backend, count * element_bytes(backend.element()), what) {}
  // The backend rounds the values.
  DeviceMap(Backend& backend, const std::vector<float>& values, std::string_view what)
      : DeviceMap(backend, values.size(), what) {
    if (backend.element() == Element::fp32) {
      array_.upload(values);
    } else if (!values.empty()) {
      const DeviceArray wide(backend, values, "values to be cast");
      backend.cast(wide.as<float>(), array_.as<void>(), values.size());
      backend.wait();
    }
  }

  void* address() const { return array_.as<void>(); }
  const DeviceArray& array() const { return array_; }

  std::vector<float> download() const { return widened_array(array_, backend_->element()); }

  static std::vector<float> widened_array(const DeviceArray& array, Element element) {
    if (element == Element::fp32) return array.download<float>();
    std::vector<float> values;
    for (const std::uint16_t bits : array.download<std::uint16_t>()) values.push_back(widened(bits, element));
    return values;
  }

 private:
  Backend* backend_;
  DeviceArray array_;
};

}  // namespace trainer
