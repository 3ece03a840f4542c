// What the libraries' tensor cores do to the inputs of a product: rounded to the precision's mantissa, summed
// in float.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector>

#include "kernels/precision.hpp"

namespace emulator {

inline float rounded(float value, trainer::Precision precision) {
  switch (precision) {
    case trainer::Precision::fp32:
      return value;
    case trainer::Precision::tf32: {  // 10 bits of mantissa are left of 23
      const auto word = std::bit_cast<std::uint32_t>(value);
      if ((word & 0x7F800000U) == 0x7F800000U) return value;
      return std::bit_cast<float>((word + 0xFFFU + (word >> 13U & 1U)) & ~0x1FFFU);
    }
    case trainer::Precision::fp16:
      return __half2float(__float2half_rn(value));
    case trainer::Precision::bf16:
      return __bfloat162float(__float2bfloat16_rn(value));
  }
  return value;
}

// An input of a product as the product sees it: in place for fp32, else a rounded copy.
class Rounded {
 public:
  Rounded(const float* values, std::size_t count, trainer::Precision precision) : data_(values) {
    if (precision == trainer::Precision::fp32) return;
    copy_.resize(count);
    for (std::size_t i = 0; i < count; ++i) copy_[i] = rounded(values[i], precision);
    data_ = copy_.data();
  }
  Rounded(const Rounded&) = delete;
  Rounded& operator=(const Rounded&) = delete;
  const float* data() const { return data_; }

 private:
  std::vector<float> copy_;
  const float* data_;
};

}  // namespace emulator
