// One rank of a trial of exchanges on a GPU, a real or an emulated one, and what it must end with.
#pragma once

#include <gtest/gtest.h>

#include "kernels/backend.hpp"
#include "tests/kernels/exchange_trial.hpp"

namespace trainer {

// One rank's part of a trial, on a GPU. A step is recorded once.
class GpuRank {
 public:
  GpuRank(const ExchangeTrial& trial, Communicator& ranks)
      : desc_(trial.desc()),
        rank_(ranks.rank()),
        backend_(make_cuda_backend({.device = rank_ % static_cast<int>(all_gpus().size())})) {
    backend_->join({.ranks = &ranks});
    desc_.ranks = backend_->part().ranks;
    exchange_ = backend_->prepare_exchange(desc_);
    dw_ = backend_->allocate(desc_.floats * sizeof(float), "the gradients");
    state_ = backend_->allocate(sizeof(StepState), "the state");
  }

  GradientExchange& exchange() { return *exchange_; }
  Backend& backend() { return *backend_; }

  std::vector<float> step(StepState& state) {
    std::vector<float> dw = gradient_of(state.step, rank_, desc_.floats);
    state.batch_loss = loss_of(state.step, rank_);
    backend_->upload(dw_.data(), dw.data(), dw_.bytes());
    backend_->upload(state_.data(), &state, sizeof state);
    exchange_->before_launch(state.step);
    if (recording_ == nullptr || state.step == desc_.full_steps) {
      recording_ = backend_->record({{[&] { exchange_->run(dw_.floats(), state_.as<StepState>()); }, 1}});
    }
    recording_->launch(1);
    backend_->download(dw.data(), dw_.data(), dw_.bytes());
    backend_->download(&state, state_.data(), sizeof state);
    return dw;
  }
  std::vector<float> step(std::uint64_t number) {
    StepState state{.step = number};
    return step(state);
  }

 private:
  ExchangeDesc desc_;
  int rank_;
  std::unique_ptr<Backend> backend_;
  Buffer dw_, state_;
  std::unique_ptr<GradientExchange> exchange_;
  std::unique_ptr<Recording> recording_;
};

inline void expect_bits_of_host(const ExchangeTrial& trial) {
  SCOPED_TRACE(testing::Message() << trial.ranks << " ranks, " << trial.bits << " bits, warm "
                                  << trial.full_steps);
  const ExchangeResult host = run_trial(trial);
  run_ranks(trial.ranks, [&](Communicator& ranks) {
    const auto rank = static_cast<std::size_t>(ranks.rank());
    GpuRank own(trial, ranks);
    for (std::uint64_t s = 0; s < trial.steps; ++s) {
      EXPECT_TRUE(same_bits(own.step(s), host.gradients[rank][s])) << "rank " << rank << ", step " << s;
    }
    const Residuals left = own.exchange().residuals();
    EXPECT_EQ(left.own, host.residuals[rank].own);
    EXPECT_EQ(left.sum, host.residuals[rank].sum);
    own.exchange().set_residuals(left);
    EXPECT_EQ(own.exchange().residuals().own, left.own);
    EXPECT_EQ(own.exchange().count().steps, trial.steps);
  });
}

}  // namespace trainer
