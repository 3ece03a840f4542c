// The CPU engine's threads: phases in order, every item once, whatever the number of threads; and what happens when a task throws.
#include "kernels/cpu/runtime/stream.hpp"

#include <atomic>
#include <gtest/gtest.h>
#include <pthread.h>
#include <stdexcept>
#include <string>

namespace trainer::cpu {
namespace {

class StreamOf : public testing::TestWithParam<int> {
 protected:
  Stream stream_{GetParam()};
};

TEST_P(StreamOf, RunsEveryItemOnceAndEachPhaseAfterTheOneBefore) {
  constexpr int kPhases = 20;
  constexpr int kItems = 37;
  std::vector<std::atomic<int>> times(kPhases * kItems);
  std::atomic<int> done{0};
  std::atomic<int> early{0};
  for (int phase = 0; phase < kPhases; ++phase) {
    stream_.phase(kItems, [&, phase](int item, int worker) {
      if (done < phase * kItems || worker < 0 || worker >= GetParam()) ++early;
      ++times[static_cast<std::size_t>(phase * kItems + item)];
      ++done;
    });
  }
  const Program program = stream_.take();
  for (int run = 1; run <= 5; ++run) {
    done = 0;
    stream_.run(program);
    EXPECT_EQ(done, kPhases * kItems);
    for (const std::atomic<int>& count : times) EXPECT_EQ(count, run);
  }
  EXPECT_EQ(early, 0);
}

TEST_P(StreamOf, ChainsTheTasksOfAShardWithoutAWait) {
  std::vector<std::string> said(8);
  const auto say = [&](char letter) {
    return [&said, letter](int shard, int /*worker*/) { said[static_cast<std::size_t>(shard)] += letter; };
  };
  stream_.shards(8, say('a'));
  stream_.shards(8, say('b'));
  stream_.serial([&] {
    for (const std::string& text : said) EXPECT_EQ(text, "ab");
  });
  stream_.shards(8, say('c'));
  stream_.shards(4, say('d'));
  const Program program = stream_.take();
  EXPECT_EQ(program.phases.size(), 3U);
  stream_.run(program);
  for (std::size_t shard = 0; shard < 8; ++shard) EXPECT_EQ(said[shard], shard < 4 ? "abcd" : "abc");
}

TEST_P(StreamOf, OpensAndClosesEachStep) {
  std::string order;
  for (int step = 0; step < 2; ++step) {
    stream_.serial([&] { order += 'g'; });
    stream_.shards(1, [&](int, int) { order += 's'; });
    stream_.closing(1, [&](int, int) { order += 'c'; });
    stream_.shards(1, [&](int, int) { order += 't'; });
    stream_.opening(1, [&](int, int) { order += 'o'; });
    stream_.end_step();
    stream_.serial([&] { order += '+'; });
  }
  stream_.flush();
  EXPECT_EQ(order, "ogstco+gstc+");
}

TEST_P(StreamOf, RepeatsAProgram) {
  int steps = 0;
  std::atomic<int> items{0};
  stream_.phase(3, [&](int, int) { ++items; });
  stream_.phase(0, [&](int, int) { ++items; });
  stream_.serial([&] { ++steps; });
  const Program program = stream_.take();
  stream_.run(program, 1000);
  EXPECT_EQ(steps, 1000);
  EXPECT_EQ(items, 3000);
}

TEST_P(StreamOf, RunsAProgramWithoutItems) {
  int count = 0;
  stream_.serial([&] { ++count; });
  stream_.flush();
  stream_.flush();
  EXPECT_EQ(count, 1);
}

TEST_P(StreamOf, ThrowsWhatATaskThrewAndLeavesOutWhatFollows) {
  for (const bool serial : {false, true}) {
    std::atomic<int> later{0};
    stream_.phase(16, [&](int item, int) {
      if (!serial && item == 5) throw std::runtime_error("item 5");
    });
    stream_.serial([&] {
      if (serial) throw std::runtime_error("alone");
    });
    stream_.phase(16, [&](int, int) { ++later; });
    const Program program = stream_.take();
    try {
      stream_.run(program, 3);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), serial ? "alone" : "item 5");
    }
    EXPECT_EQ(later, 0);
    int after = 0;
    stream_.serial([&] { ++after; });
    stream_.flush();
    EXPECT_EQ(after, 1);
  }
}

// Short phases, so that threads fall asleep and are woken at every moment.
TEST_P(StreamOf, NeverLosesAThreadThatSleeps) {
  std::atomic<int> count{0};
  for (int i = 0; i < 50; ++i) {
    stream_.phase(2, [&](int item, int) {
      ++count;
      if (item == 0) std::this_thread::sleep_for(std::chrono::microseconds(60));
    });
    stream_.phase(9, [&](int, int) { ++count; });
  }
  const Program program = stream_.take();
  for (int run = 0; run < 20; ++run) stream_.run(program);
  EXPECT_EQ(count, 20 * 50 * 11);
}

// A stack of 64 TiB is not to be had.
TEST(Stream, MakesDoWithTheThreadsThatThereAre) {
  pthread_attr_t usual;
  pthread_attr_t huge;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(pthread_getattr_default_np(&huge), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&huge, std::size_t{1} << 46), 0);
  ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
  Stream stream(4);
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
  EXPECT_EQ(stream.threads(), 1);
  int count = 0;
  stream.phase(5, [&](int, int) { ++count; });
  stream.flush();
  EXPECT_EQ(count, 5);
}

INSTANTIATE_TEST_SUITE_P(Threads, StreamOf, testing::Values(1, 2, 3, 8),
                         [](const auto& info) { return "Of" + std::to_string(info.param); });

}  // namespace
}  // namespace trainer::cpu
