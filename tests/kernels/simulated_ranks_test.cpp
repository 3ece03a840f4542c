// The exchange of gradients under hundreds of simulated runs: messages that take their time, ranks that die or freeze anywhere.
#include "tests/support/simulated_ranks.hpp"

#include <algorithm>
#include <exception>
#include <gtest/gtest.h>
#include <string>

#include "tests/kernels/exchange_trial.hpp"

namespace trainer {
namespace {

// Under a sanitizer, which starts threads slowly, fewer seeds.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t kSeeds = 60;
#else
constexpr std::uint64_t kSeeds = 400;
#endif
constexpr double kPatience = 10;  // simulated seconds

// What one rank of a simulated exchange has done.
struct RankLog {
  std::vector<std::vector<float>> gradients;  // after each step that it finished
  std::vector<bool> stops;
};

struct SimulatedExchange {
  ExchangeTrial trial;
  int stopping_rank = 0;
  std::uint64_t stopping_step = 0;
  SimulatedRun run = {};
  std::vector<RankLog> ranks = {};
};

SimulatedExchange simulate(std::uint64_t seed) {
  constexpr int kBits[] = {1, 16, 32};
  SimulatedExchange s{.trial = {.ranks = 2 + static_cast<int>(seed % 4),
                                .bits = kBits[seed / 4 % 3],
                                .columns = {9, 40, 3, 33},
                                .full_steps = seed / 12 % 2,
                                .steps = 4}};
  s.stopping_rank = static_cast<int>(seed % static_cast<std::uint64_t>(s.trial.ranks));
  s.stopping_step = seed / 5 % 8;
  s.ranks.resize(static_cast<std::size_t>(s.trial.ranks));
  const std::uint64_t messages = s.trial.steps * 2 * static_cast<std::uint64_t>(s.trial.ranks);
  s.run = run_simulated(seed, s.trial.ranks, messages, [&](Communicator& communicator) {
    RankLog& log = s.ranks[static_cast<std::size_t>(communicator.rank())];
    ExchangingRank own(s.trial, communicator);
    for (std::uint64_t step = 0; step < s.trial.steps; ++step) {
      communicator.begin("step " + std::to_string(step), kPatience);
      if (communicator.rank() == s.stopping_rank && step == s.stopping_step) own.exchange().ask_to_stop();
      log.gradients.push_back(own.step(step));
      log.stops.push_back(own.exchange().stops());
    }
  });
  return s;
}

std::string message_of(const std::exception_ptr& error) {
  try {
    if (error != nullptr) std::rethrow_exception(error);
  } catch (const RankDied&) {
    return "died";
  } catch (const RankLost& lost) {
    return std::string("lost: ") + lost.what();
  } catch (const std::exception& other) {
    return std::string("other: ") + other.what();
  }
  return "";
}

std::string trace_of(const SimulatedExchange& s) {
  std::string text;
  for (const std::string& line : s.run.trace) text += line + "\n";
  return text;
}

// Every step that a rank finished has the bits of the undisturbed run, and no rank is more than a step ahead of another.
void expect_right_steps(const SimulatedExchange& s) {
  const ExchangeResult undisturbed = run_trial(s.trial);
  std::size_t least = s.trial.steps, most = 0;
  for (const RankLog& log : s.ranks) {
    least = std::min(least, log.gradients.size());
    most = std::max(most, log.gradients.size());
    for (std::size_t step = 0; step < log.gradients.size(); ++step) {
      EXPECT_EQ(log.gradients[step], undisturbed.gradients[0][step]) << "step " << step;
      EXPECT_EQ(log.stops[step], step >= s.stopping_step) << "step " << step;
    }
  }
  EXPECT_LE(most, least + 1);
}

// Who ended how fits the fate.
void expect_right_ends(const SimulatedExchange& s) {
  for (int rank = 0; rank < s.trial.ranks; ++rank) {
    const std::string end = message_of(s.run.errors[static_cast<std::size_t>(rank)]);
    const bool finished = s.ranks[static_cast<std::size_t>(rank)].gradients.size() == s.trial.steps;
    EXPECT_EQ(end.empty(), finished) << end;
    EXPECT_NE(end.substr(0, 5), "other") << end;
    const bool dies = s.run.fate.kind == Fate::Kind::dies && s.run.fate.rank == rank;
    EXPECT_EQ(end == "died", dies) << end;
    EXPECT_TRUE(end.empty() || s.run.fate.kind != Fate::Kind::none) << end;
  }
}

TEST(SimulatedRanks, ExchangeRightlyOrLoseARank) {
  int fates[3] = {};
  int lost = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const SimulatedExchange s = simulate(seed);
    expect_right_steps(s);
    expect_right_ends(s);
    ++fates[static_cast<int>(s.run.fate.kind)];
    for (const std::exception_ptr& error : s.run.errors)
      lost += message_of(error).starts_with("lost") ? 1 : 0;
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ":\n" << trace_of(s);
  }
  for (const int count : fates) EXPECT_GT(count, static_cast<int>(kSeeds / 8));
  EXPECT_GT(lost, static_cast<int>(kSeeds / 8));
}

TEST(SimulatedRanks, ASeedReplaysItsRun) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const SimulatedExchange first = simulate(seed);
    const SimulatedExchange again = simulate(seed);
    EXPECT_EQ(first.run.trace, again.run.trace) << "seed " << seed;
    EXPECT_NE(first.run.trace, simulate(seed + 1200).run.trace) << "seed " << seed;  // the same trial
  }
}

TEST(SimulatedRanks, MessagesOvertakeOneAnother) {
  int order[2] = {};
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const SimulatedRun run = run_simulated(seed, 3, 1000, [](Communicator& ranks) {
      char data[3] = {};
      ranks.all_gather(data, {0, 1, 2, 3});
    });
    const auto at = [&](const std::string& what) {
      return std::find_if(run.trace.begin(), run.trace.end(),
                          [&](const std::string& line) { return line.find(what) != std::string::npos; });
    };
    ++order[at("rank 0 ends") < at("rank 2 ends") ? 0 : 1];
  }
  EXPECT_GT(order[0], 5);
  EXPECT_GT(order[1], 5);
}

TEST(SimulatedRanks, NamesTheFrozenRankAndTheStep) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const SimulatedExchange s = simulate(seed);
    if (s.run.fate.kind != Fate::Kind::freezes) continue;
    const auto names_it = [&](const std::exception_ptr& error) {
      const std::string start = "lost: rank " + std::to_string(s.run.fate.rank) + " did not reach step ";
      return message_of(error).starts_with(start);
    };
    const bool harmless =
        std::all_of(s.run.errors.begin(), s.run.errors.end(), [](auto& e) { return e == nullptr; });
    EXPECT_TRUE(harmless || std::any_of(s.run.errors.begin(), s.run.errors.end(), names_it)) << trace_of(s);
  }
}

}  // namespace
}  // namespace trainer
