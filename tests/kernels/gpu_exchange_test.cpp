// The exchange of gradients between emulated GPUs: bit for bit the host's, recorded and replayed.
#include <gtest/gtest.h>
#include <mutex>

#include "tests/emulator/emulator.hpp"
#include "tests/kernels/gpu_rank.hpp"

namespace trainer {
namespace {

constexpr int kGpus = 8;

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
