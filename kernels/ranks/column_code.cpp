// Codes, decodes and adds up columns on a CPU.
#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/ranks/gradient_code.hpp"

namespace trainer {

namespace {

// Halves the row again and again, so that the order depends on its length alone.
float sum_of(float* __restrict values, std::size_t count) {
  while (count > 1) {
    const std::size_t half = (count + 1) / 2;
    for (std::size_t i = 0; i < count - half; ++i) values[i] += values[half + i];
    count = half;
  }
  return values[0];
}

// Calls body(k, row, count) for each k: rows row .. row + count - 1 are bit k of words 0 .. count - 1.
template <typename Body>
void for_each_bit(std::size_t rows, const Body& body) {
  const std::size_t words = sign_words(rows);
  for (std::uint32_t k = 0; k * words < rows; ++k) body(k, k * words, std::min(words, rows - k * words));
}

// Adds x to v, sets the words' bits and adds to the two sums of each word.
void take_signs(const float* __restrict x, std::size_t rows, float* __restrict v,
                std::uint32_t* __restrict word, float* __restrict negative, float* __restrict positive) {
  for_each_bit(rows, [=](std::uint32_t k, std::size_t row, std::size_t count) {
    for (std::size_t w = 0; w < count; ++w) {
      const float value = x[row + w] + v[row + w];
      v[row + w] = value;
      word[w] |= (value >= 0 ? 1U : 0U) << k;
      negative[w] += value >= 0 ? 0 : value;
      positive[w] += value >= 0 ? value : 0;
    }
  });
}

void encode_signs(const float* x, std::size_t rows, float* residual, std::uint32_t* code, float* scratch) {
  const std::size_t words = sign_words(rows);
  std::uint32_t* const word = code + 2;
  std::fill_n(word, words, 0U);
  std::fill_n(scratch, 2 * words, 0.0F);
  take_signs(x, rows, residual, word, scratch, scratch + words);
  std::size_t positives = 0;
  for (std::size_t w = 0; w < words; ++w) positives += static_cast<std::size_t>(std::popcount(word[w]));
  const Means means = means_of({sum_of(scratch, words), sum_of(scratch + words, words)}, positives, rows);
  std::memcpy(code, &means, sizeof means);
  for_each_bit(rows, [=](std::uint32_t k, std::size_t row, std::size_t count) {
    float* __restrict const left = residual + row;
    for (std::size_t w = 0; w < count; ++w) left[w] -= decoded_bit(means, word[w], k);
  });
}

void decode_signs(const std::uint32_t* code, std::size_t rows, float* x) {
  Means means;
  std::memcpy(&means, code, sizeof means);
  const std::uint32_t* const word = code + 2;
  for_each_bit(rows, [=](std::uint32_t k, std::size_t row, std::size_t count) {
    float* __restrict const to = x + row;
    for (std::size_t w = 0; w < count; ++w) to[w] = decoded_bit(means, word[w], k);
  });
}

void encode_halves(const float* __restrict x, std::size_t rows, float* __restrict residual,
                   std::uint16_t* __restrict half) {
  for (std::size_t i = 0; i < rows; ++i) {
    const float value = x[i] + residual[i];
    half[i] = to_bf16(value);
    residual[i] = value - from_bf16(half[i]);
  }
  if (rows % 2 != 0) half[rows] = 0;
}

}  // namespace

void encode_column(int bits, const float* x, std::size_t rows, float* residual, std::uint32_t* code,
                   float* scratch) {
  if (bits == 32) std::memcpy(code, x, 4 * rows);
  if (bits == 16) encode_halves(x, rows, residual, reinterpret_cast<std::uint16_t*>(code));
  if (bits == 1) encode_signs(x, rows, residual, code, scratch);
}

void decode_column(int bits, const std::uint32_t* code, std::size_t rows, float* x) {
  if (bits == 32) std::memcpy(x, code, 4 * rows);
  if (bits == 16) {
    const auto* half = reinterpret_cast<const std::uint16_t*>(code);
    for (std::size_t i = 0; i < rows; ++i) x[i] = from_bf16(half[i]);
  }
  if (bits == 1) decode_signs(code, rows, x);
}

void add_tree(float* rows, int count, std::size_t stride, std::size_t length) {
  if (count < 2) return;
  const int middle = count / 2;
  float* const second = rows + static_cast<std::size_t>(middle) * stride;
  add_tree(rows, middle, stride, length);
  add_tree(second, count - middle, stride, length);
  for (std::size_t i = 0; i < length; ++i) rows[i] += second[i];
}

}  // namespace trainer
