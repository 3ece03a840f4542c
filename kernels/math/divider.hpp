// Division of indices by a number that is known before a kernel starts: a multiplication and a shift, whereas
// the division of a CPU or GPU takes tens of instructions. (Granlund and Montgomery 1994)
#pragma once

#include <cstdint>

#include "kernels/math/host_device.hpp"

namespace trainer {

class Divider {
 public:
  HOST_DEVICE Divider() : Divider(1) {}
  // Divides by `by`, 1 to 2^31.
  HOST_DEVICE explicit Divider(std::uint32_t by) : by_(by) {
    while ((std::uint64_t{1} << (shift_ - kBits)) < by) ++shift_;
    factor_ = static_cast<std::uint32_t>(((std::uint64_t{1} << shift_) + by - 1) / by);
  }

  HOST_DEVICE std::uint32_t by() const { return by_; }

  // n / by() for n below 2^31.
  HOST_DEVICE std::uint32_t quotient(std::uint32_t n) const { return std::uint64_t{n} * factor_ >> shift_; }

 private:
  static constexpr std::uint32_t kBits = 31;

  std::uint32_t by_;
  std::uint32_t factor_ = 0;  // 2^shift / by, rounded up
  std::uint32_t shift_ = kBits;
};

}  // namespace trainer
