// Codes, decodes and adds up columns on a CPU (kernels/ranks/gradient_code.hpp says how): loops over rows that lie side by side.
#pragma once

#include <cstddef>
#include <cstdint>

namespace trainer {

// code [code_words(bits, rows)] = x + residual [rows], rounded; the residual becomes what that leaves out. 32 bits leave nothing out and
// do not touch it. `scratch` has 2 sign_words(rows) floats.
void encode_column(int bits, const float* x, std::size_t rows, float* residual, std::uint32_t* code,
                   float* scratch);
void decode_column(int bits, const std::uint32_t* code, std::size_t rows, float* x);

// The sum of `count` rows [length] that lie `stride` apart, into the first; the others are overwritten. It is a tree: the sum of
// the first half plus that of the second, which for 2, 4 and 8 is that of kernels/portable/batch_sum.hpp.
void add_tree(float* rows, int count, std::size_t stride, std::size_t length);

}  // namespace trainer
