// The loops around products of bf16, for the table in winners_bf16.cpp.
#pragma once

#include "kernels/cpu/runtime/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

void one_channel_pairs(const float* rows, int count, int width, std::uint16_t* pairs);
void one_channel_pool(const OneChannelLoop& loop, const std::uint16_t* image, const std::uint16_t* w,
                      const float* b, float* y, std::uint8_t* winner);
void one_channel_pool_weights(const OneChannelLoop& loop, const std::uint16_t* image, const float* dy,
                              const std::uint8_t* winner, float* dw, float* db);

}  // namespace trainer::cpu::TRAINER_LOOPS
