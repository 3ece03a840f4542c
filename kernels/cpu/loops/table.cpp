// The table of this instruction set's loops.
#include "kernels/cpu/loops/loops.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

const Loops& table() {
  static constexpr Loops kTable{
      .name = TRAINER_LOOPS_NAME,
      .widest_lanes = TRAINER_LOOPS_LANES,
      .gather = gather,
      .maxpool = maxpool,
      .maxpool_backward = maxpool_backward,
      .avgpool = avgpool,
      .avgpool_backward = avgpool_backward,
      .one_channel = one_channel,
      .one_channel_weights = one_channel_weights,
      .one_channel_pool = one_channel_pool,
      .one_channel_pool_weights = one_channel_pool_weights,
      .winner_weights = winner_weights,
      .winner_data = winner_data,
      .relu = relu,
      .relu_backward = relu_backward,
      .gelu = gelu,
      .gelu_backward = gelu_backward,
      .add = add,
      .dropout = dropout,
      .dropout_backward = dropout_backward,
      .norm_sums = norm_sums,
      .norm = norm,
      .norm_gradient = norm_gradient,
      .norm_backward = norm_backward,
      .product = product,
      .muon_direction = muon_direction,
      .update = update,
  };
  return kTable;
}

}  // namespace trainer::cpu::TRAINER_LOOPS
