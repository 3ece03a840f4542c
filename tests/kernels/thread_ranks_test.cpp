// The ranks that the other tests exchange with: threads of one process.
#include "tests/support/thread_ranks.hpp"

#include <atomic>
#include <gtest/gtest.h>
#include <numeric>

namespace trainer {
namespace {

// Rank r's part has r bytes: rank 0's is empty.
std::vector<std::size_t> growing_borders(int size) {
  std::vector<std::size_t> borders{0};
  for (int rank = 0; rank < size; ++rank) borders.push_back(borders.back() + static_cast<std::size_t>(rank));
  return borders;
}

TEST(ThreadRanks, GatherGivesEveryRankAllParts) {
  for (const int size : {1, 2, 5}) {
    run_ranks(size, [&](Communicator& ranks) {
      const std::vector<std::size_t> borders = growing_borders(size);
      std::vector<unsigned char> data(borders.back(), 255);
      for (std::size_t i = borders[ranks.rank()]; i < borders[ranks.rank() + 1]; ++i) {
        data[i] = static_cast<unsigned char>(i);
      }
      ranks.all_gather(data.data(), borders);
      std::vector<unsigned char> expected(borders.back());
      std::iota(expected.begin(), expected.end(), static_cast<unsigned char>(0));
      EXPECT_EQ(data, expected) << "rank " << ranks.rank() << " of " << size;
    });
  }
}

TEST(ThreadRanks, AllToAllGivesARankItsPartOfEveryRank) {
  constexpr int kSize = 4;
  run_ranks(kSize, [&](Communicator& ranks) {
    const std::vector<std::size_t> borders = growing_borders(kSize);
    for (int round = 0; round < 50; ++round) {  // a rank may be a round ahead of another
      std::vector<unsigned char> data(borders.back());
      for (std::size_t i = 0; i < data.size(); ++i) {
        data[i] = static_cast<unsigned char>(round + 10 * ranks.rank() + static_cast<int>(i));
      }
      const auto own = static_cast<std::size_t>(ranks.rank());
      std::vector<unsigned char> received(kSize * own);
      ranks.all_to_all(data.data(), borders, received.data());
      for (std::size_t from = 0; from < kSize; ++from) {
        for (std::size_t i = 0; i < own; ++i) {
          EXPECT_EQ(received[from * own + i],
                    static_cast<unsigned char>(round + 10 * from + borders[own] + i));
        }
      }
    }
  });
}

TEST(ThreadRanks, OthersLoseARankThatThrowsOrReturns) {
  for (const bool throws : {true, false}) {
    std::atomic<int> lost = 0;
    const auto body = [&](Communicator& ranks) {
      ranks.begin("step 17", 10);
      if (ranks.rank() == 1) {
        if (throws) throw std::runtime_error("the cause");
        return;
      }
      try {
        std::vector<char> data(4);
        ranks.all_gather(data.data(), {0, 1, 2, 3, 4});
      } catch (const RankLost& error) {
        EXPECT_NE(std::string(error.what()).find("step 17"), std::string::npos) << error.what();
        ++lost;
        throw;
      }
    };
    EXPECT_THROW(run_ranks(4, body), std::runtime_error);
    EXPECT_EQ(lost, 3);
  }
}

TEST(ThreadRanks, TheFirstExceptionIsRethrown) {
  try {
    run_ranks(3, [](Communicator& ranks) {
      if (ranks.rank() == 2) throw std::invalid_argument("the cause");
      std::vector<char> data(3);
      ranks.all_gather(data.data(), {0, 1, 2, 3});
    });
    FAIL() << "nothing was thrown";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "the cause");
  }
}

TEST(ThreadRanks, DifferentBordersAreAnError) {
  EXPECT_THROW(run_ranks(2,
                         [](Communicator& ranks) {
                           std::vector<char> data(8);
                           const std::size_t first = ranks.rank() == 0 ? 3 : 4;
                           ranks.all_gather(data.data(), {0, first, 8});
                         }),
               std::logic_error);
}

}  // namespace
}  // namespace trainer
