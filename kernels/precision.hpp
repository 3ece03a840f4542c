// The precision of products: what their inputs are rounded to. Sums are taken in fp32, and weights, optimiser
// state, logits and the loss are fp32 in every precision.
#pragma once

#include <cstdint>

namespace trainer {

enum class Precision : std::uint8_t { fp32, tf32, fp16, bf16 };

}  // namespace trainer
