// How a column of R floats is coded for other ranks, in 32-bit words:
//   32 bits  the floats
//   16 bits  bf16, two in a word
//    1 bit   the mean of the negative values, the mean of the others, and W = ceil(R / 32) words: bit k of word w is set
//            if row w + k W is not negative, so that rows that lie side by side are in words that lie side by side
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/math/division.hpp"
#include "kernels/math/host_device.hpp"

namespace trainer {

HOST_DEVICE std::size_t sign_words(std::size_t rows) {
  return (rows + 31) / 32;
}

HOST_DEVICE std::size_t code_words(int bits, std::size_t rows) {
  return bits == 32 ? rows : bits == 16 ? (rows + 1) / 2 : sign_words(rows) + 2;
}

// What the two values of a bit stand for.
struct Means {
  float negative;
  float positive;
};

// The means from the sums of `rows` values, `positives` of which are not negative. A side without values has the mean 0; means that are
// less than 1e-36 apart are both 0, since no gradient is so small and a subnormal product is slow.
HOST_DEVICE Means means_of(Means sums, std::size_t positives, std::size_t rows) {
  Means means{};
  if (positives < rows) means.negative = exact_quotient(sums.negative, static_cast<float>(rows - positives));
  if (positives > 0) means.positive = exact_quotient(sums.positive, static_cast<float>(positives));
  return means.positive - means.negative < 1e-36F ? Means{} : means;
}

HOST_DEVICE float decoded_bit(Means means, std::uint32_t word, std::uint32_t k) {
  return (word >> k & 1U) != 0 ? means.positive : means.negative;
}

HOST_DEVICE float from_bf16(std::uint16_t half) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(half) << 16U);
}

// To the nearest, ties to even. A value that is not a number stays one.
HOST_DEVICE std::uint16_t to_bf16(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t rounded = bits + 0x7FFFU + (bits >> 16U & 1U);
  return static_cast<std::uint16_t>((value == value ? rounded : bits | 0x400000U) >> 16U);
}

// On a CPU, where the loops run over rows that lie side by side:
// code [code_words(bits, rows)] = x + residual [rows], rounded; the residual becomes what that leaves out. 32 bits leave nothing out and
// do not touch it. `scratch` has 2 sign_words(rows) floats.
void encode_column(int bits, const float* x, std::size_t rows, float* residual, std::uint32_t* code,
                   float* scratch);
void decode_column(int bits, const std::uint32_t* code, std::size_t rows, float* x);

// The sum of `count` rows [length] that lie `stride` apart, into the first; the others are overwritten. It is a tree: the sum of
// the first half plus that of the second, which for 2, 4 and 8 is that of kernels/portable/batch_sum.hpp.
void add_tree(float* rows, int count, std::size_t stride, std::size_t length);

}  // namespace trainer
