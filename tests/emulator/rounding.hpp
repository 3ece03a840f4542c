// What tensor cores do: convert a product's inputs to their precision (the libraries round them first, the instruction
// truncates them), sum in float, round the stored results.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector>

#include "kernels/precision.hpp"
#include "tests/emulator/sanitizer.hpp"

namespace emulator {

inline float rounded_to_tf32(float value) {  // keeps 10 of 23 mantissa bits
  const auto word = std::bit_cast<std::uint32_t>(value);
  if ((word & 0x7F800000U) == 0x7F800000U) return value;
  return std::bit_cast<float>((word + 0xFFFU + (word >> 13U & 1U)) & ~0x1FFFU);
}

inline double cut_to_tf32(float value) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & ~0x1FFFU);
}

// Truncates value towards zero to a float.
inline float cut_to_float(double value) {
  const auto nearest = static_cast<float>(value);
  if (!(std::abs(static_cast<double>(nearest)) > std::abs(value)) || std::isinf(value)) return nearest;
  return std::nextafter(nearest, 0.0F);
}

// An input of a product as the product sees it: floats in place for fp32, rounded for tf32, converted from 16 bits for
// the others.
class Input {
 public:
  Input(const void* values, std::size_t count, trainer::Precision precision)
      : data_(static_cast<const float*>(values)) {
    switch (precision) {
      case trainer::Precision::fp32:
        look_at_access(values, count * sizeof(float));
        return;
      case trainer::Precision::tf32:
        copy(data_, count);
        for (float& value : copy_) value = rounded_to_tf32(value);
        break;
      case trainer::Precision::fp16:
        copy(static_cast<const __half*>(values), count);
        break;
      case trainer::Precision::bf16:
        copy(static_cast<const __nv_bfloat16*>(values), count);
        break;
    }
    data_ = copy_.data();
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  const float* data() const { return data_; }

 private:
  template <typename T>
  void copy(const T* values, std::size_t count) {
    copy_.assign(values, values + count);
  }

  std::vector<float> copy_;
  const float* data_;
};

// The inner loop of a product, between an Input and an Output or arrays that are fully initialised.
EMULATOR_UNCHECKED inline void add_scaled(float* __restrict to, const float* __restrict from,
                                          std::size_t count, float factor) {
  for (std::size_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

// The sums of a product, initially 0; store() rounds them into its output.
class Output {
 public:
  explicit Output(std::size_t count) : sums_(count, 0.0F) {}
  float* data() { return sums_.data(); }

  void store(void* to, trainer::Element element) const {
    switch (element) {
      case trainer::Element::fp32:
        return round_into(static_cast<float*>(to));
      case trainer::Element::fp16:
        return round_into(static_cast<__half*>(to));
      case trainer::Element::bf16:
        return round_into(static_cast<__nv_bfloat16*>(to));
    }
  }

 private:
  template <typename T>
  void round_into(T* to) const {
    for (std::size_t i = 0; i < sums_.size(); ++i) to[i] = static_cast<T>(sums_[i]);
  }

  std::vector<float> sums_;
};

}  // namespace emulator
