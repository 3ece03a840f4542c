// The sum of a gradient over the ranks, in full precision or with few bits a value (kernels/ranks/).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/math/step_state.hpp"

namespace trainer {

// A run of values of the gradient that share their code: the weights of one output of a layer, or a vector of biases.
struct GradientColumn {
  std::size_t offset = 0;
  int rows = 0;
};

struct ExchangeDesc {
  std::vector<GradientColumn> columns;  // in the order of their offsets
  int bits = 32;                        // 32, 16 (bf16) or 1
  std::uint64_t warm_start_images = 0;  // before these, 32 bits
};

class GradientExchange {
 public:
  virtual ~GradientExchange() = default;

  // Replaces dw by the sum over the ranks, and state->batch_loss too. Only launches.
  virtual void run(float* dw, StepState* state) = 0;

  // Why this rank would like to stop, as bits that the next run() tells the others.
  virtual void ask_to_stop(unsigned reasons) = 0;
  // The reasons of all ranks in the last run().
  virtual unsigned stops() const = 0;
};

}  // namespace trainer
