// The CPU engine's own loops for the other instruction sets that this processor has (kernels/cpu/loops.hpp):
// the engine picks the best one, which the conformance suite holds against the reference; here the others
// are held against that one.
#include "kernels/cpu/loops.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

namespace trainer::cpu {
namespace {

using Floats = std::vector<float>;

Floats values(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  Floats v(count);
  for (float& x : v)
    x = generator() % 4 == 0 ? 0 : normal(generator);  // zeros, as ReLU and dropout make them
  return v;
}

class OtherLoops : public testing::TestWithParam<const Loops*> {
 protected:
  const Loops& best_ = best_loops();
  const Loops& other_ = *GetParam();

  // `run(loops)` gives what was computed; sums may be taken in another order.
  template <typename Run>
  void expect_alike(const Run& run) {
    const Floats want = run(best_);
    const Floats got = run(other_);
    ASSERT_EQ(got.size(), want.size());
    int zeros = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], 1e-5 * (1 + std::abs(want[i]))) << i;
      zeros += want[i] == 0 ? 1 : 0;
    }
    EXPECT_LT(2 * static_cast<std::size_t>(zeros), want.size()) << "mostly zeros prove nothing";
  }
};

TEST_P(OtherLoops, DropTheSameElements) {
  constexpr std::size_t kCount = 1003;
  const Floats x(kCount, 1);
  expect_alike([&](const Loops& loops) {
    Floats y(kCount + 4);
    std::vector<std::uint8_t> kept(kCount + 4);
    loops.dropout({0.25F, 3, 0xFFFFFFFFFULL, 11}, x.data(), y.data(), kept.data(), 4, kCount);
    for (std::size_t i = 4; i < kCount; ++i) EXPECT_EQ(kept[i] != 0, y[i] != 0);
    return y;
  });
}

TEST_P(OtherLoops, ConvolveOneChannelAlike) {
  for (const int channels : {16, 32, 48}) {
    const OneChannelLoop loop{7, 9, 3, channels, 4, true, {}, {}};
    const Floats image = values(9 * 11, 1);
    const Floats w = values(static_cast<std::size_t>(9 * channels), 2);
    const Floats b(static_cast<std::size_t>(channels), 0.5F);
    expect_alike([&](const Loops& loops) {
      OneChannelLoop own = loop;
      own.lanes = loops.widest_lanes;
      Floats map(static_cast<std::size_t>(7 * 9 * channels));
      loops.one_channel(own, image.data(), w.data(), b.data(), map.data());
      Floats gradients(static_cast<std::size_t>(10 * channels));
      own.relu = false;
      loops.one_channel_weights(own, image.data(), map.data(), gradients.data(),
                                gradients.data() + 9 * channels);
      map.insert(map.end(), gradients.begin(), gradients.end());
      return map;
    });
  }
}

TEST_P(OtherLoops, PoolAndFindTheSameWinners) {
  const PoolLoop loop{{6, 8, 32}, 32, {2, 2}, {3, 4, 32}, true};
  const Floats map = values(2 * 6 * 8 * 32, 3);
  const Floats dy = values(2 * 3 * 4 * 32, 4);
  expect_alike([&](const Loops& loops) {
    Floats y(dy.size());
    std::vector<std::uint8_t> winner(dy.size());
    loops.maxpool(loop, map.data(), y.data(), winner.data(), 2);
    y.insert(y.end(), winner.begin(), winner.end());
    return y;
  });
}

// More channels than a word of the lists has bits, and a rest in every vector's width.
TEST_P(OtherLoops, SumOverTheSameWinners) {
  for (const int outputs : {3, 64, 83}) {
    const WinnerLoop loop{3, 1, 10, 32, 4, {2, 2}, {4, 4, outputs}};
    const Floats image = values(10 * 10 * 32, 5);
    const Floats w = values(static_cast<std::size_t>(outputs) * 9 * 32, 6);
    const Floats dy = values(static_cast<std::size_t>(16 * outputs), 7);
    std::vector<std::uint8_t> winner(dy.size());
    std::mt19937 generator(8);
    for (std::uint8_t& p : winner) p = generator() % 3 == 0 ? kNoWinner : generator() % 4;
    expect_alike([&](const Loops& loops) {
      WinnerLoop own = loop;
      own.lanes = loops.widest_lanes;
      std::vector<WinnerEntry> entries(dy.size() + kSpareEntries);
      std::vector<std::int32_t> count(entries.size());
      std::vector<std::int32_t> place(entries.size());
      WinnerLists lists{entries.data(), count.data(), place.data(), 0};
      Floats sums(w.size() + static_cast<std::size_t>(outputs) + image.size());
      float* db = sums.data() + w.size();
      loops.winner_weights(own, lists, image.data(), dy.data(), winner.data(), sums.data(), db);
      loops.winner_data(own, lists, w.data(), dy.data(), winner.data(), db + outputs);
      return sums;
    });
  }
}

std::vector<const Loops*> others() {
  std::vector<const Loops*> all = usable_loops();
  all.erase(all.begin());
  return all;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(OtherLoops);  // a processor may have one set alone
INSTANTIATE_TEST_SUITE_P(Of, OtherLoops, testing::ValuesIn(others()), [](const auto& info) {
  std::string name = info.param->name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace trainer::cpu
