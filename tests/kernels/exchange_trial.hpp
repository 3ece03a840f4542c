// A few steps of an exchange between ranks, and what each rank ends each of them with.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cpu/ranks/host_exchange.hpp"
#include "tests/support/thread_ranks.hpp"

namespace trainer {

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0;
}

struct ExchangeTrial {
  int ranks = 2;
  int bits = 1;
  std::vector<std::size_t> columns{1, 31, 33, 7, 1100, 25, 25, 64};  // rows of each
  std::size_t whole_rows = 7;                                        // columns of at most so many are whole
  std::size_t gap = 0;  // floats in front of each column, and at the end
  std::uint64_t full_steps = 0;
  int threads = 1;
  std::uint64_t first_step = 0;
  std::uint64_t steps = 5;

  ExchangeDesc desc() const {
    ExchangeDesc desc{.bits = bits, .full_steps = full_steps};
    for (const std::size_t rows : columns) {
      desc.columns.push_back({desc.floats + gap, rows, rows <= whole_rows});
      desc.floats += gap + rows;
    }
    desc.floats += gap;
    return desc;
  }
};

// A number from -1 to 1 for each float of each rank's gradient in each step.
inline float gradient_at(std::uint64_t step, int rank, std::size_t i) {
  std::uint64_t x =
      step * 0x9E3779B97F4A7C15U + static_cast<std::uint64_t>(rank) * 0xC2B2AE3D27D4EB4FU + i + 1;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  x ^= x >> 31U;
  return static_cast<float>(x >> 40U) * 0x1p-23F - 1;
}

inline std::vector<float> gradient_of(std::uint64_t step, int rank, std::size_t floats) {
  std::vector<float> gradient(floats);
  for (std::size_t i = 0; i < floats; ++i) gradient[i] = gradient_at(step, rank, i);
  return gradient;
}

inline float loss_of(std::uint64_t step, int rank) {
  return 1 + gradient_at(step, rank, 0);
}

// One rank's part in a trial, a step at a time.
class ExchangingRank {
 public:
  ExchangingRank(const ExchangeTrial& trial, Communicator& ranks)
      : desc_(trial.desc()), rank_(ranks.rank()), stream_(trial.threads) {
    desc_.ranks = &ranks;
    exchange_ = cpu::make_host_exchange(desc_, stream_);
  }

  GradientExchange& exchange() { return *exchange_; }

  // Returns what the gradient became; `state` holds the step, and then the sum of the losses.
  std::vector<float> step(StepState& state) {
    std::vector<float> dw = gradient_of(state.step, rank_, desc_.floats);
    state.batch_loss = loss_of(state.step, rank_);
    run(dw, state);
    return dw;
  }
  void run(std::vector<float>& dw, StepState& state) {
    exchange_->run(dw.data(), &state);
    stream_.flush();
  }
  std::vector<float> step(std::uint64_t number) {
    StepState state{.step = number};
    return step(state);
  }

 private:
  ExchangeDesc desc_;
  int rank_;
  cpu::Stream stream_;
  std::unique_ptr<GradientExchange> exchange_;
};

struct ExchangeResult {
  std::vector<std::vector<std::vector<float>>> gradients;  // [rank][step][floats] after each step
  std::vector<Residuals> residuals;                        // [rank] after the last
};

// Runs the trial, from `start` if that is not empty.
inline ExchangeResult run_trial(const ExchangeTrial& trial, const Residuals& start = {}) {
  const auto ranks = static_cast<std::size_t>(trial.ranks);
  ExchangeResult result{std::vector<std::vector<std::vector<float>>>(ranks), std::vector<Residuals>(ranks)};
  run_ranks(trial.ranks, [&](Communicator& communicator) {
    const auto rank = static_cast<std::size_t>(communicator.rank());
    ExchangingRank own(trial, communicator);
    if (!start.sum.empty()) own.exchange().set_residuals(start);
    for (std::uint64_t s = 0; s < trial.steps; ++s) {
      result.gradients[rank].push_back(own.step(trial.first_step + s));
    }
    result.residuals[rank] = own.exchange().residuals();
  });
  return result;
}

}  // namespace trainer
