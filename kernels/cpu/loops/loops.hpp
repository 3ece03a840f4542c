// The loops of one instruction set: every source beside this file is compiled once for each set, inside a
// namespace of its own (TRAINER_LOOPS: v2, v3, v4, v4bf16, base), so that the linker never mixes them.
// Nothing here may call a function that is not always inlined, except memcpy and the mathematical library.
#pragma once

#include "kernels/cpu/runtime/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

void gather(const GatherLoop& loop, std::size_t begin, std::size_t end);
void maxpool(const PoolLoop& loop, const float* map, float* y, std::uint8_t* winner, std::size_t images);
void maxpool_backward(const PoolLoop& loop, const float* dy, const std::uint8_t* winner, float* dmap,
                      std::size_t images);
void avgpool(const PoolLoop& loop, const float* map, float* y, std::size_t images);
void avgpool_backward(const PoolLoop& loop, const float* dy, float* dmap, std::size_t images);
void one_channel(const OneChannelLoop& loop, const float* padded, const float* w, const float* b, float* map);
void one_channel_weights(const OneChannelLoop& loop, const float* padded, const float* dmap, float* dw,
                         float* db);
void one_channel_pool(const OneChannelLoop& loop, const float* padded, const float* w, const float* b,
                      float* y, std::uint8_t* winner);
void one_channel_pool_weights(const OneChannelLoop& loop, const float* padded, const float* dy,
                              const std::uint8_t* winner, float* dw, float* db);
void few_channels_pool(const FewChannelsLoop& loop, const float* image, const float* w, const float* b,
                       float* y, std::uint8_t* winner);
void winner_weights(const WinnerLoop& loop, WinnerLists& lists, const float* image, const float* dy,
                    const std::uint8_t* winner, float* dw, float* db);
void winner_data(const WinnerLoop& loop, WinnerLists& lists, const float* w, const float* dy,
                 const std::uint8_t* winner, float* dx);
void relu(const float* x, float* y, std::size_t begin, std::size_t end);
void relu_backward(const float* y, const float* dy, float* dx, std::size_t begin, std::size_t end);
void gelu(const float* x, float* y, std::size_t begin, std::size_t end);
void gelu_backward(const float* x, const float* dy, float* dx, std::size_t begin, std::size_t end);
void norm_sums(const NormLoop& loop, const float* x, std::size_t count, double* sums);
void norm(const NormLoop& loop, const float* x, float* y, std::size_t count);
void norm_gradient(const NormLoop& loop, const float* x, const float* dy, float* dx, const NormParts& parts,
                   double* sums);
void norm_backward(const NormLoop& loop, const float* mean_g, const float* mean_gx, const float* x, float* dx,
                   const NormParts& parts);
void product(const ProductLoop& loop, int begin, int end);
void gram(const GramLoop& loop, int begin, int end);
void muon_direction(float momentum, const float* dw, float* v, float* u, std::size_t count);
void add(const float* x, float* sum, std::size_t begin, std::size_t end);
void dropout(const DropoutLoop& loop, const float* x, float* y, std::uint8_t* kept, std::size_t begin,
             std::size_t end);
void dropout_backward(float drop, const std::uint8_t* kept, const float* dy, float* dx, std::size_t begin,
                      std::size_t end);
void update(const UpdateLoop& loop, std::size_t begin, std::size_t end);

const Loops& table();

}  // namespace trainer::cpu::TRAINER_LOOPS
