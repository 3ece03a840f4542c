// Whole trainings on simulated ranks: in every case (tests/train/simulated_case.hpp), all ranks end with the bits of one process, or the
// training that goes on from the last checkpoint does.
//   simulated_training_test                a few hundred cases, as ctest runs them
//   simulated_training_test --seed N       this case alone, with its trace; or TRAINER_SEED=N
//   simulated_training_test --minutes M    new cases for so long, and a line that adds them up
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <iterator>
#include <random>
#include <string_view>

#include "tests/emulator/sanitizer.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/train/simulated_case.hpp"

namespace trainer::test {
namespace {

constexpr std::uint64_t kShares = 4;
constexpr std::uint64_t kSeedsOfShare = emulator::kAddressSanitizer ? 2 : 100;

struct Summary {
  std::uint64_t seeds = 0, failures = 0;
  int deaths = 0, freezes = 0, stops = 0, resumed = 0;

  void add(const CaseReport& report) {
    ++seeds;
    failures += report.failures.empty() ? 0 : 1;
    deaths += report.deaths;
    freezes += report.freezes;
    stops += report.stops;
    resumed += report.resumed;
  }
  std::string text() const {
    return fmt::format("{} seeds, {} deaths, {} freezes, {} stops, {} resumed, {} failures", seeds, deaths,
                       freezes, stops, resumed, failures);
  }
};

std::string failure_text(std::uint64_t seed, const CaseReport& report) {
  return fmt::format("seed {} failed; simulated_training_test --seed {} replays it with its trace:\n  {}\n",
                     seed, seed, fmt::join(report.failures, "\n  "));
}

class SimulatedTrainings : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SimulatedTrainings, EndWithTheBitsOfOneProcess) {
  CaseRunner runner;
  Summary summary;
  for (std::uint64_t i = 0; i < kSeedsOfShare; ++i) {
    const std::uint64_t seed = GetParam() + kShares * i;
    const CaseReport report = runner.run(seed);
    summary.add(report);
    ASSERT_TRUE(report.failures.empty()) << failure_text(seed, report);
  }
  for (const int count : {summary.deaths, summary.freezes, summary.stops, summary.resumed})
    EXPECT_GE(count, static_cast<int>(kSeedsOfShare / 8)) << summary.text();
}

INSTANTIATE_TEST_SUITE_P(Share, SimulatedTrainings, testing::Range(std::uint64_t{0}, kShares));

TEST(SimulatedTraining, ASeedReplaysItsCase) {
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    EXPECT_EQ(CaseRunner().run(seed).trace, CaseRunner().run(seed).trace) << "seed " << seed;
}

// Signals may come between the last step of an epoch and its evaluation: the next attempt makes the evaluation, on any number of ranks.
TEST(SimulatedTraining, GoesOnFromAnyLook) {
  const SimulatedTraining simulated;
  CaseRunner runner;
  const RankedTraining training{.checkpoint_steps = 0};
  const Undisturbed& want = runner.undisturbed(training, 0);
  for (std::uint64_t look = 0; look < 20; ++look) {
    const TemporaryFolder folder;
    const auto checkpoint = folder / "checkpoint.safetensors";
    const AttemptResult first = simulated.run(training, {.ranks = 2, .stops = {kNever, look}}, checkpoint);
    const AttemptResult second = simulated.run(training, {.ranks = 4}, checkpoint);
    for (const RankEnd& end : first.ends)
      EXPECT_EQ(end.result->position.step, first.ends[0].result->position.step) << "look " << look;
    for (const RankEnd& end : second.ends) {
      ASSERT_TRUE(end.result) << "look " << look;
      EXPECT_EQ(end.digest, want.digest) << "look " << look;
      EXPECT_EQ(end.epochs.size() + first.ends[0].epochs.size(), want.epochs.size()) << "look " << look;
    }
  }
}

// With as many ranks as before a training goes on with the bits that it would have had, in fast arithmetic too. More images of a rank
// may be selected than one process would select of so many.
TEST(SimulatedTraining, FastBitsGoOnWithAsManyRanks) {
  const SimulatedTraining simulated;
  CaseRunner runner;
  for (const int bits : {32, 1}) {
    const RankedTraining training{.bits = Bits::fast, .gradient_bits = bits, .checkpoint_steps = 0};
    for (const std::uint64_t look : {3, 6, 7, 13}) {
      const TemporaryFolder folder;
      const auto checkpoint = folder / "checkpoint.safetensors";
      (void)simulated.run(training, {.ranks = 2, .stops = {look, kNever}}, checkpoint);
      const AttemptResult second = simulated.run(training, {.ranks = 2}, checkpoint);
      EXPECT_EQ(second.ends[1].digest, runner.undisturbed(training, 2).digest)
          << bits << " bits, look " << look;
    }
  }
}

// One clock is ahead of the others.
TEST(SimulatedTraining, ATimeLimitIsOneOnEveryRank) {
  const TemporaryFolder folder;
  const Attempt attempt{.ranks = 4, .late_rank = 2};
  for (const RankEnd& end : SimulatedTraining().run({}, attempt, folder / "checkpoint.safetensors").ends) {
    EXPECT_EQ(end.result->reason, StopReason::time_limit);
    EXPECT_EQ(end.result->position.step, 1U);
  }
}

TEST(SimulatedTraining, ABadLossEndsEveryRankAtItsStep) {
  const SimulatedTraining simulated;
  const RankedTraining training{.network = "quick", .rate = 1e18};
  std::optional<std::uint64_t> bad_step;
  for (const int ranks : {0, 2, 8}) {
    const TemporaryFolder folder;
    for (const RankEnd& end :
         simulated.run(training, {.ranks = ranks}, folder / "checkpoint.safetensors").ends) {
      ASSERT_TRUE(end.result && end.result->reason == StopReason::bad_loss) << ranks << " ranks";
      if (!bad_step) bad_step = end.result->bad_step;
      EXPECT_EQ(end.result->bad_step, *bad_step) << ranks << " ranks";
    }
  }
}

int replay(std::uint64_t seed) {
  const CaseReport report = CaseRunner().run(seed);
  for (const std::string& line : report.trace) fmt::print("{}\n", line);
  if (report.failures.empty())
    fmt::print("seed {}: all held\n", seed);
  else
    fmt::print("{}", failure_text(seed, report));
  return report.failures.empty() ? 0 : 1;
}

int run_for(double minutes) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(60 * minutes);
  CaseRunner runner;
  Summary summary;
  std::uint64_t seed = std::random_device()();
  fmt::print("from seed {} on\n", seed);
  for (; std::chrono::steady_clock::now() < end; ++seed) {
    const CaseReport report = runner.run(seed);
    summary.add(report);
    if (!report.failures.empty()) fmt::print("{}", failure_text(seed, report));
    std::fflush(stdout);
  }
  fmt::print("{}\n", summary.text());
  return summary.failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace trainer::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string_view option = argc == 3 ? argv[1] : "";
  if (option == "--seed") return trainer::test::replay(std::strtoull(argv[2], nullptr, 10));
  if (option == "--minutes") return trainer::test::run_for(std::strtod(argv[2], nullptr));
  if (argc > 1) {
    fmt::print(stderr, "usage: simulated_training_test [--seed N | --minutes M | GoogleTest's options]\n");
    return 2;
  }
  if (const char* seed = std::getenv("TRAINER_SEED"))
    return trainer::test::replay(std::strtoull(seed, nullptr, 10));
  return RUN_ALL_TESTS();
}
