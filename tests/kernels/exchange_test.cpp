// The exchange of gradients on a CPU: against the reference in double, and what it promises of every rank.
#include "tests/reference/exchange.hpp"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <mutex>
#include <new>
#include <string>

#include "kernels/portable/batch_sum.hpp"
#include "kernels/ranks/gradient_code.hpp"
#include "kernels/ranks/messages.hpp"
#include "tests/kernels/exchange_trial.hpp"

namespace trainer {
namespace {

constexpr int kRanks[] = {1, 2, 3, 4, 8};

std::string name_of(const ExchangeTrial& trial) {
  return std::to_string(trial.ranks) + " ranks, " + std::to_string(trial.bits) + " bits";
}

// Calls body for each number of ranks and bits.
template <typename Body>
void for_trials(const Body& body) {
  for (const int ranks : kRanks) {
    for (const int bits : {1, 16, 32}) body(ExchangeTrial{.ranks = ranks, .bits = bits});
  }
}

reference::Values in_double(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

reference::Kept kept_of(const Residuals& residuals, int ranks, std::size_t floats) {
  reference::Kept kept{
      std::vector<reference::Values>(static_cast<std::size_t>(ranks), reference::Values(floats)),
      reference::Values(floats)};
  if (residuals.sum.empty()) return kept;
  kept.sum = in_double(residuals.sum);
  for (std::size_t rank = 0; rank < kept.own.size(); ++rank) {
    const float* row = residuals.own.data() + rank * floats;
    kept.own[rank] = {row, row + floats};
  }
  return kept;
}

void expect_near(const std::vector<float>& got, const reference::Values& want, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], tolerance) << what << ", float " << i;
}

// Each step by itself, from the residuals that the one before has left: rounding does not add up.
TEST(Exchange, AgreesWithTheReference) {
  for_trials([](ExchangeTrial trial) {
    const ExchangeDesc desc = trial.desc();
    trial.steps = 1;
    Residuals start;
    for (trial.first_step = 0; trial.first_step < 4; ++trial.first_step) {
      std::vector<reference::Values> gradients;
      for (int rank = 0; rank < trial.ranks; ++rank) {
        gradients.push_back(in_double(gradient_of(trial.first_step, rank, desc.floats)));
      }
      reference::Kept kept = kept_of(start, trial.ranks, desc.floats);
      const reference::Values want = reference::exchanged(trial.bits, desc.columns, gradients, kept);
      const ExchangeResult got = run_trial(trial, start);
      const double tolerance = (trial.bits == 16 ? 0x1p-7 : 3e-6) * trial.ranks;
      expect_near(got.gradients[0][0], want, tolerance, name_of(trial) + ": the sum");
      start = got.residuals[0];
      if (trial.bits == 32) continue;
      const reference::Kept left = kept_of(start, trial.ranks, desc.floats);
      for (std::size_t rank = 0; rank < left.own.size(); ++rank) {
        for (std::size_t i = 0; i < desc.floats; ++i)
          ASSERT_NEAR(left.own[rank][i], kept.own[rank][i], tolerance);
      }
      expect_near(start.sum, kept.sum, tolerance, name_of(trial) + ": the residual of the sum");
    }
  });
}

TEST(Exchange, EveryRankEndsEachStepWithTheSameBits) {
  for_trials([](const ExchangeTrial& trial) {
    const ExchangeResult result = run_trial(trial);
    const ExchangeResult again = run_trial(trial);
    for (std::size_t rank = 0; rank < result.gradients.size(); ++rank) {
      for (std::size_t step = 0; step < trial.steps; ++step) {
        EXPECT_TRUE(same_bits(result.gradients[rank][step], result.gradients[0][step])) << name_of(trial);
        EXPECT_TRUE(same_bits(result.gradients[rank][step], again.gradients[rank][step])) << name_of(trial);
      }
      EXPECT_EQ(result.residuals[rank].own, result.residuals[0].own) << name_of(trial);
      EXPECT_EQ(result.residuals[rank].sum, result.residuals[0].sum) << name_of(trial);
    }
  });
}

// What was sent and what is left over are together all gradients, in every float.
void expect_conserved(const ExchangeTrial& trial, std::uint64_t first_step,
                      const std::vector<std::vector<float>>& sent, const Residuals& before,
                      const Residuals& after) {
  const std::size_t floats = sent[0].size();
  const auto left = [&](const Residuals& residuals, std::size_t i) {
    double sum = residuals.sum.empty() ? 0 : residuals.sum[i];
    for (std::size_t at = i; at < residuals.own.size(); at += floats) sum += residuals.own[at];
    return sum;
  };
  for (std::size_t i = 0; i < floats; ++i) {
    double gradients = left(before, i);
    double total = left(after, i);
    for (std::size_t s = 0; s < sent.size(); ++s) {
      for (int rank = 0; rank < trial.ranks; ++rank) gradients += gradient_at(first_step + s, rank, i);
      total += sent[s][i];
    }
    ASSERT_NEAR(total, gradients, 4e-7 * trial.ranks * static_cast<double>(sent.size()))
        << name_of(trial) << ", float " << i;
  }
}

TEST(Exchange, LosesNothing) {
  for_trials([](ExchangeTrial trial) {
    trial.steps = 30;
    const ExchangeResult result = run_trial(trial);
    expect_conserved(trial, 0, result.gradients[0], {}, result.residuals[0]);
  });
}

TEST(Exchange, ThirtyTwoBitsAreTheTreeOfThePortableEngine) {
  const ExchangeTrial trial{.ranks = 8, .bits = 32, .steps = 2};
  const ExchangeResult result = run_trial(trial);
  for (std::uint64_t step = 0; step < trial.steps; ++step) {
    const std::vector<float>& sum = result.gradients[3][step];
    for (std::size_t i = 0; i < sum.size(); ++i) {
      float shard[portable::kShards];
      for (int rank = 0; rank < portable::kShards; ++rank) shard[rank] = gradient_at(step, rank, i);
      ASSERT_EQ(sum[i], portable::tree(shard));
    }
  }
}

TEST(Exchange, TheNumberOfThreadsChangesNoBit) {
  for_trials([](ExchangeTrial trial) {
    trial.steps = 2;
    const ExchangeResult one = run_trial(trial);
    for (trial.threads = 2; trial.threads < 4; ++trial.threads) {
      EXPECT_EQ(run_trial(trial).gradients, one.gradients)
          << name_of(trial) << ", " << trial.threads << " threads";
    }
  });
}

TEST(Exchange, MoreRanksThanColumns) {
  for (const int bits : {1, 16, 32}) {
    const ExchangeTrial trial{.ranks = 5, .bits = bits, .columns = {3, 200}, .threads = 2};
    const ExchangeResult result = run_trial(trial);
    for (const auto& steps : result.gradients) EXPECT_EQ(steps, result.gradients[0]);
    expect_conserved(trial, 0, result.gradients[0], {}, result.residuals[0]);
  }
}

TEST(Exchange, WhatLiesInNoColumnIsLeftAlone) {
  const ExchangeTrial trial{.ranks = 3, .columns = {3, 40}, .gap = 2, .steps = 2};
  const ExchangeResult result = run_trial(trial);
  for (int rank = 0; rank < trial.ranks; ++rank) {
    const std::vector<float>& dw = result.gradients[static_cast<std::size_t>(rank)][1];
    for (const std::size_t i : {0U, 1U, 5U, 6U, 47U, 48U}) EXPECT_EQ(dw[i], gradient_at(1, rank, i)) << i;
    for (std::size_t i = 2; i < 5; ++i) EXPECT_EQ(dw[i], result.gradients[0][1][i]);
  }
}

TEST(Exchange, AWarmStartIsExact) {
  for (const int bits : {1, 16}) {
    const ExchangeTrial trial{.ranks = 3, .bits = bits, .full_steps = 2, .steps = 4};
    ExchangeTrial full = trial;
    full.bits = 32;
    const ExchangeResult got = run_trial(trial);
    const ExchangeResult want = run_trial(full);
    for (std::size_t s = 0; s < trial.steps; ++s) {
      EXPECT_EQ(same_bits(got.gradients[0][s], want.gradients[0][s]), s < 2) << bits << " bits, step " << s;
    }
    expect_conserved(trial, 0, got.gradients[0], {}, got.residuals[0]);
  }
}

TEST(Exchange, ResidualsGoOnAfterACheckpoint) {
  for (const int bits : {1, 16}) {
    const ExchangeTrial whole{.ranks = 3, .bits = bits, .steps = 6};
    ExchangeTrial first = whole, second = whole;
    first.steps = 4;
    second.first_step = 4;
    second.steps = 2;
    const Residuals checkpoint = run_trial(first).residuals[0];
    const ExchangeResult resumed = run_trial(second, checkpoint);
    EXPECT_EQ(resumed.gradients[0][1], run_trial(whole).gradients[0][5]);
    for (second.ranks = 1; second.ranks < 5; ++second.ranks) {
      const ExchangeResult other = run_trial(second, checkpoint);
      expect_conserved(second, 4, other.gradients[0], checkpoint, other.residuals[0]);
    }
  }
}

TEST(Exchange, AddsUpTheLoss) {
  run_ranks(4, [](Communicator& ranks) {
    ExchangingRank own(ExchangeTrial{.ranks = 4}, ranks);
    StepState state{.step = 3};
    own.step(state);
    EXPECT_EQ(state.batch_loss, (loss_of(3, 0) + loss_of(3, 1)) + (loss_of(3, 2) + loss_of(3, 3)));
    std::vector<float> dw(own.step(4).size());
    state.batch_loss = ranks.rank() == 2 ? std::numeric_limits<float>::quiet_NaN() : 1;
    own.run(dw, state);
    EXPECT_TRUE(std::isnan(state.batch_loss));
  });
}

TEST(Exchange, AllRanksStopAfterTheSameStep) {
  run_ranks(3, [](Communicator& ranks) {
    ExchangingRank own(ExchangeTrial{.ranks = 3}, ranks);
    own.step(0);
    EXPECT_FALSE(own.exchange().stops());
    if (ranks.rank() == 1) own.exchange().ask_to_stop();
    EXPECT_FALSE(own.exchange().stops());
    own.step(1);
    EXPECT_TRUE(own.exchange().stops());
  });
}

TEST(Exchange, CountsWhatARankSends) {
  // Two columns of 1,100 rows: each rank owns one, sends the other, and sends the sum of its own with a header.
  for (const auto& [bits, bytes] :
       {std::pair{1, 148U + 8 + 148}, {16, 2200 + 8 + 2200}, {32, 4400 + 8 + 4400}}) {
    run_ranks(2, [bits = bits, bytes = bytes](Communicator& ranks) {
      ExchangingRank own(ExchangeTrial{.bits = bits, .columns = {1100, 1100}}, ranks);
      for (std::uint64_t s = 0; s < 3; ++s) own.step(s);
      const ExchangeCount count = own.exchange().count();
      EXPECT_EQ(count.steps, 3U);
      EXPECT_EQ(count.bytes, 3 * bytes) << bits;
      EXPECT_GT(count.seconds, 0);
    });
  }
}

TEST(Exchange, OthersLoseARankThatEnds) {
  for (const int bits : {1, 32}) {
    std::mutex mutex;
    int lost = 0;
    const auto body = [&](Communicator& ranks) {
      ExchangingRank own(ExchangeTrial{.ranks = 4, .bits = bits}, ranks);
      try {
        for (std::uint64_t s = 0; s < 10; ++s) {
          if (s == 5 && ranks.rank() == 2) throw std::bad_alloc();
          own.step(s);
        }
      } catch (const RankLost&) {
        const std::scoped_lock lock(mutex);
        ++lost;
      }
    };
    EXPECT_THROW(run_ranks(4, body), std::bad_alloc);
    EXPECT_EQ(lost, 3);
  }
}

TEST(Exchange, RefusesWhatItCannotExchange) {
  run_ranks(1, [](Communicator& ranks) {
    const auto message = [&](ExchangeDesc desc, const Residuals& residuals) -> std::string {
      desc.ranks = &ranks;
      try {
        cpu::Stream stream(1);
        cpu::make_host_exchange(desc, stream)->set_residuals(residuals);
      } catch (const std::invalid_argument& error) {
        return error.what();
      }
      return "";
    };
    EXPECT_EQ(message({.floats = 8, .columns = {{0, 4}, {4, 4}}}, {}), "");
    EXPECT_EQ(message({.floats = 8, .columns = {{0, 8}}, .bits = 8}, {}),
              "gradients of 8 bits: 1, 16 and 32 are possible");
    EXPECT_NE(message({.floats = 8, .columns = {{0, 5}, {4, 4}}}, {}), "");
    EXPECT_NE(message({.floats = 7, .columns = {{0, 4}, {4, 4}}}, {}), "");
    EXPECT_NE(message({.floats = 8, .columns = {{0, 0}}}, {}), "");
    EXPECT_EQ(message({.floats = 2, .columns = {{0, 2}}, .bits = 1}, {{1, 2}, {3, 4}}), "");
    EXPECT_EQ(message({.floats = 2, .columns = {{0, 2}}, .bits = 1}, {{1, 2, 3}, {4, 5}}),
              "residuals of 3 and 2 floats for a gradient of 1 bits and 2 floats");
    EXPECT_NE(message({.floats = 2, .columns = {{0, 2}}, .bits = 1}, {}), "");
  });
}

}  // namespace
}  // namespace trainer
