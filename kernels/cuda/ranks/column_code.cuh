// Codes and decodes a column by one block (kernels/ranks/gradient_code.hpp says how), in the order of the host's loops
// (kernels/ranks/column_code.cpp), so that the bits are theirs.
#pragma once

#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/ranks/gradient_code.hpp"

namespace trainer::cuda {

constexpr unsigned kCodeThreads = 256;

// The place of a float in its column: its row, which in a code of signs is bit `bit` of word `word`.
struct RowPlace {
  unsigned row, word, bit;
};

template <int kBits>
__device__ float decoded(const std::uint32_t* code, const RowPlace& at) {
  if constexpr (kBits == 32) return __uint_as_float(code[at.row]);
  if constexpr (kBits == 16) return from_bf16(reinterpret_cast<const std::uint16_t*>(code)[at.row]);
  return decoded_bit({__uint_as_float(code[0]), __uint_as_float(code[1])}, code[2 + at.word], at.bit);
}

// Calls use(place, load(place)) for each row of word `word` of a code of signs, kAhead loads at a time.
template <unsigned kAhead, typename Load, typename Use>
__device__ void for_word(unsigned rows, unsigned words, unsigned word, const Load& load, const Use& use) {
  const auto at = [=](unsigned bit) { return RowPlace{word + bit * words, word, bit}; };
  const unsigned bits = (rows - word + words - 1) / words;
  for_strided<kAhead>(
      0U, bits, 1U, [&](unsigned bit) { return load(at(bit)); },
      [&](unsigned bit, const auto& loaded) { use(at(bit), loaded); });
}

// The same for every row of a column, by all threads of the block.
template <int kBits, unsigned kAhead, typename Load, typename Use>
__device__ void for_rows(unsigned rows, const Load& load, const Use& use) {
  if constexpr (kBits == 1) {
    const auto words = static_cast<unsigned>(sign_words(rows));
    for (unsigned word = threadIdx.x; word < words; word += kCodeThreads)
      for_word<kAhead>(rows, words, word, load, use);
  } else {
    for_strided<kAhead>(
        threadIdx.x, rows, kCodeThreads,
        [&](unsigned row) {
          return load(RowPlace{row, 0, 0});
        },
        [&](unsigned row, const auto& loaded) {
          use(RowPlace{row, 0, 0}, loaded);
        });
  }
}

// Sums both halves of sums [2, words] into their first elements: halves each again and again.
static __device__ void sum_words(float* sums, unsigned words) {
  for (unsigned count = words; count > 1;) {
    const unsigned half = (count + 1) / 2;
    __syncthreads();
    for (unsigned i = threadIdx.x; i < count - half; i += kCodeThreads) {
      sums[i] += sums[half + i];
      sums[words + i] += sums[words + half + i];
    }
    count = half;
  }
  __syncthreads();
}

struct Kept {
  float value, residual;
};

// value(place) + residual as signs; sums [2, words] is scratch of this block.
template <unsigned kAhead, typename Value>
static __device__ void encode_signs(unsigned rows, const Value& value, float* residual, std::uint32_t* code,
                                    float* sums) {
  __shared__ unsigned positives;
  const auto words = static_cast<unsigned>(sign_words(rows));
  __syncthreads();
  if (threadIdx.x == 0) positives = 0;
  __syncthreads();
  const auto load = [&](const RowPlace& at) { return Kept{value(at), residual[at.row]}; };
  unsigned own_positives = 0;
  for (unsigned word = threadIdx.x; word < words; word += kCodeThreads) {
    float negative = 0;
    float positive = 0;
    std::uint32_t signs = 0;
    for_word<kAhead>(rows, words, word, load, [&](const RowPlace& at, const Kept& kept) {
      const float v = kept.value + kept.residual;
      residual[at.row] = v;
      signs |= (v >= 0 ? 1U : 0U) << at.bit;
      negative += v >= 0 ? 0 : v;
      positive += v >= 0 ? v : 0;
    });
    sums[word] = negative;
    sums[words + word] = positive;
    code[2 + word] = signs;
    own_positives += static_cast<unsigned>(__popc(signs));
  }
  atomicAdd(&positives, own_positives);
  sum_words(sums, words);
  const Means means = means_of({sums[0], sums[words]}, positives, rows);
  if (threadIdx.x == 0) code[0] = __float_as_uint(means.negative);
  if (threadIdx.x == 0) code[1] = __float_as_uint(means.positive);
  for_rows<1, 8>(
      rows, [&](const RowPlace& at) { return residual[at.row]; },
      [&](const RowPlace& at, float v) {
        residual[at.row] = v - decoded_bit(means, code[2 + at.word], at.bit);
      });
}

// code = value(place) + residual, rounded; the residual becomes what that leaves out. All threads call it.
template <int kBits, unsigned kAhead, typename Value>
static __device__ void encode(unsigned rows, const Value& value, float* residual, std::uint32_t* code,
                              float* sums) {
  if constexpr (kBits == 1) encode_signs<kAhead>(rows, value, residual, code, sums);
  if constexpr (kBits == 32)
    for_rows<32, kAhead>(rows, value,
                         [&](const RowPlace& at, float v) { code[at.row] = __float_as_uint(v); });
  if constexpr (kBits == 16) {
    auto* half = reinterpret_cast<std::uint16_t*>(code);
    for_rows<16, kAhead>(
        rows,
        [&](const RowPlace& at) {
          return Kept{value(at), residual[at.row]};
        },
        [&](const RowPlace& at, const Kept& kept) {
          const float v = kept.value + kept.residual;
          half[at.row] = to_bf16(v);
          residual[at.row] = v - from_bf16(half[at.row]);
        });
    if (threadIdx.x == 0 && rows % 2 != 0) half[rows] = 0;
  }
}

}  // namespace trainer::cuda
