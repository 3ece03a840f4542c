// The exchange of gradients between emulated GPUs: bit for bit the host's, recorded and replayed.
#include <gtest/gtest.h>
#include <mutex>

#include "kernels/backend.hpp"
#include "tests/emulator/emulator.hpp"
#include "tests/kernels/exchange_trial.hpp"

namespace trainer {
namespace {

constexpr int kGpus = 8;

// One rank's part of a trial, on its own GPU. A step is recorded once.
class GpuRank {
 public:
  GpuRank(const ExchangeTrial& trial, Communicator& ranks)
      : desc_(trial.desc()), rank_(ranks.rank()), backend_(make_cuda_backend({.device = rank_ % kGpus})) {
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

class GpuExchange : public testing::Test {
 protected:
  void SetUp() override {
    emulator::reset();
    emulator::play({.devices = std::vector<emulator::Device>(kGpus)});
  }
  void TearDown() override {
    EXPECT_EQ(emulator::failure(), "");
    EXPECT_EQ(emulator::loaded_in_capture(), std::vector<std::string>{});
    EXPECT_EQ(emulator::leak_report(), "");
    emulator::reset();
  }
};

void expect_bits_of_host(const ExchangeTrial& trial) {
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

TEST_F(GpuExchange, HasTheBitsOfTheHost) {
  for (const int bits : {1, 16, 32}) {
    for (const int ranks : {1, 2, 3, 5, 8})
      expect_bits_of_host({.ranks = ranks, .bits = bits, .gap = 1, .steps = 4});
    expect_bits_of_host({.ranks = 3, .bits = bits, .full_steps = 2, .steps = 4});
    expect_bits_of_host({.ranks = 5, .bits = bits, .columns = {3, 200}});
  }
}

// Whose trees have several branches of up to eight ranks.
TEST_F(GpuExchange, ManyRanksTooHaveTheBitsOfTheHost) {
  for (const int ranks : {9, 16, 19, 37})
    expect_bits_of_host({.ranks = ranks, .bits = 32, .columns = {7, 40, 3}, .steps = 1});
}

TEST_F(GpuExchange, LongColumnsTooHaveTheBitsOfTheHost) {
  expect_bits_of_host({.ranks = 2, .bits = 1, .columns = {40'000, 25, 33'001}, .steps = 2});
}

TEST_F(GpuExchange, AddsUpTheLossAndCountsBytes) {
  run_ranks(4, [](Communicator& ranks) {
    GpuRank own({.ranks = 4, .columns = {1100, 1100, 1100, 1100}}, ranks);
    StepState state{.step = 3};
    own.step(state);
    EXPECT_EQ(state.batch_loss, (loss_of(3, 0) + loss_of(3, 1)) + (loss_of(3, 2) + loss_of(3, 3)));
    EXPECT_EQ(own.exchange().count().bytes, 3U * 148 + 3 * (8 + 148));
  });
}

// Launches run ahead, so all ranks stop so many steps after one of them was asked that each of them has seen it.
TEST_F(GpuExchange, AllRanksStopAtTheSameStep) {
  constexpr std::uint64_t kAhead = 64;
  run_ranks(3, [](Communicator& ranks) {
    GpuRank own({.ranks = 3, .columns = {3, 5}}, ranks);
    own.step(0);
    if (ranks.rank() == 1) own.exchange().ask_to_stop();
    own.step(1);
    for (std::uint64_t next = 2; next < kAhead + 4; ++next) {
      own.exchange().before_launch(next);
      EXPECT_EQ(own.exchange().stops(), next >= kAhead + 1) << next;
    }
  });
}

TEST_F(GpuExchange, OthersLoseARankThatEnds) {
  std::mutex mutex;
  std::vector<std::string> lost;
  const auto body = [&](Communicator& ranks) {
    GpuRank own({.ranks = 3, .columns = {3, 5}}, ranks);
    try {
      for (std::uint64_t s = 0; s < 10; ++s) {
        if (s == 5 && ranks.rank() == 2) throw std::bad_alloc();
        own.backend().part().ranks->begin("step " + std::to_string(s), 10);
        own.step(s);
      }
    } catch (const RankLost& error) {
      const std::scoped_lock lock(mutex);
      lost.emplace_back(error.what());
    }
  };
  EXPECT_THROW(run_ranks(3, body), std::bad_alloc);
  ASSERT_EQ(lost.size(), 2U);
  for (const std::string& text : lost) EXPECT_NE(text.find("rank 2 of 3"), std::string::npos) << text;
}

}  // namespace
}  // namespace trainer
