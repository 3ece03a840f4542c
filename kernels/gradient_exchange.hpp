// The exchange of gradients: each rank has that of its own rows, and all get the same sum, of 32, 16 or 1 bit for each float
// (1-bit SGD: Seide et al., Interspeech 2014). What rounding leaves out is kept and sent with later steps.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/communicator.hpp"
#include "kernels/math/step_state.hpp"

namespace trainer {

// A run of a gradient arena that is coded by itself: weights of one output, or a whole bias.
struct Column {
  std::size_t begin = 0;
  std::size_t rows = 0;
  bool whole = false;  // with 32 bits, whatever the others have

  int bits(int of_others) const { return whole ? 32 : of_others; }
};

struct ExchangeDesc {
  Communicator* ranks = nullptr;
  std::size_t floats = 0;            // the size of the arena
  std::vector<Column> columns = {};  // in the arena's order; what lies in none of them is not exchanged
  int bits = 32;                     // 1, 16 (bf16) or 32
  std::uint64_t full_steps = 0;      // so many steps of a run begin it with 32 bits (warm start)
};

// What rounding has left out so far; empty with 32 bits.
struct Residuals {
  std::vector<float> own = {};  // [ranks, floats]: of each rank's gradient
  std::vector<float> sum = {};  // [floats]: of the sums
};

struct ExchangeCount {
  std::uint64_t steps = 0;
  std::uint64_t bytes = 0;  // that this rank sent to others
  double seconds = 0;       // including the wait for others
};

// Every rank makes the same calls in the same order, but for ask_to_stop(). Those that exchange throw RankLost.
class GradientExchange {
 public:
  virtual ~GradientExchange() = default;
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  // Launches the exchange of a step: dw [floats] and state->batch_loss become their sums over all ranks, the same bits everywhere.
  virtual void run(float* dw, StepState* state) = 0;

  // The number of the first step of the next launch, told before each launch and before a step is recorded. An engine whose
  // launches run ahead needs it: a recording's messages are those of its side of full_steps, and stops() is for this launch.
  virtual void before_launch(std::uint64_t /*step*/) {}
  virtual void ask_to_stop() = 0;     // tells the others with the next step
  virtual bool stops() const = 0;     // some rank had asked; equal on all ranks after each step
  virtual Residuals residuals() = 0;  // those of all ranks, for a checkpoint: an exchange too
  // Goes on from those of any number of ranks. Throws std::invalid_argument if they are not of this arena.
  virtual void set_residuals(const Residuals& residuals) = 0;
  virtual ExchangeCount count() const = 0;

 protected:
  GradientExchange() = default;
};

}  // namespace trainer
