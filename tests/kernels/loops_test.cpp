// The CPU engine's loops for the other instruction sets of this processor (kernels/cpu/runtime/loops.hpp). The engine
// uses the best one, which the conformance suite compares with the reference; here the others are compared with that
// one.
#include "kernels/cpu/runtime/loops.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

#include "kernels/op.hpp"

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

  // `run(loops)` returns the results; sums may be computed in another order.
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
    const DropoutDesc desc{.in = {}, .drop = 0.25F, .stream = 3};
    StepState state;
    state.step = 0xFFFFFFFFFULL;
    state.seed = 11;
    loops.dropout(desc, state, x.data(), y.data(), kept.data(), 4, kCount);
    for (std::size_t i = 4; i < kCount; ++i) EXPECT_EQ(kept[i] != 0, y[i] != 0);
    return y;
  });
}

TEST_P(OtherLoops, ConvolveOneChannelAlike) {
  for (const int channels : {16, 32, 48}) {
    const ConvLoop loop{7, 9, 3, 1, channels, 4, true, {}, {}};
    const Floats image = values(9 * 11, 1);
    const Floats w = values(static_cast<std::size_t>(9 * channels), 2);
    const Floats b(static_cast<std::size_t>(channels), 0.5F);
    expect_alike([&](const Loops& loops) {
      ConvLoop own = loop;
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

TEST_P(OtherLoops, ConvolveAndPoolOneChannelAlike) {
  for (const auto& [kernel, window] : {std::pair{3, 2}, {3, 3}, {5, 2}}) {
    const int channels = 32;
    const int edge = 3 * window + 1;
    const Shape pooled{3, 3, 29};
    const ConvLoop loop{edge, edge, kernel, 1, channels, 4, true, {window, window}, pooled};
    const Floats image = values(static_cast<std::size_t>(edge + kernel - 1) * (edge + kernel - 1), 1);
    const Floats w = values(static_cast<std::size_t>(kernel) * kernel * channels, 2);
    const Floats b(static_cast<std::size_t>(channels), 0.5F);
    expect_alike([&](const Loops& loops) {
      ConvLoop own = loop;
      own.lanes = loops.widest_lanes;
      Floats y(pooled.size());
      std::vector<std::uint8_t> argmax(y.size());
      loops.conv_pool(own, image.data(), w.data(), b.data(), y.data(), argmax.data());
      Floats gradients(w.size() + b.size());
      loops.one_channel_pool_weights(own, image.data(), y.data(), argmax.data(), gradients.data(),
                                     gradients.data() + w.size());
      y.insert(y.end(), argmax.begin(), argmax.end());
      y.insert(y.end(), gradients.begin(), gradients.end());
      return y;
    });
  }
}

TEST_P(OtherLoops, ConvolveAndPoolFewChannelsAlike) {
  for (const int in : {8, 16}) {
    const ConvLoop loop{4, 7, 3, in, 32, 4, true, {2, 2}, {2, 3, 29}};
    const Floats image = values(static_cast<std::size_t>(6 * 9 * in), 1);
    const Floats w = values(static_cast<std::size_t>(9 * in * 32), 2);
    const Floats b(32, 2.0F);
    expect_alike([&](const Loops& loops) {
      ConvLoop own = loop;
      own.lanes = loops.widest_lanes;
      Floats y(loop.pooled.size());
      std::vector<std::uint8_t> argmax(y.size());
      loops.conv_pool(own, image.data(), w.data(), b.data(), y.data(), argmax.data());
      y.insert(y.end(), argmax.begin(), argmax.end());
      return y;
    });
  }
}

TEST_P(OtherLoops, MultiplyAlike) {
  for (const int columns : {1, 7, 24, 72}) {
    const int rows = 19;
    const int inner = 11;
    const Floats a = values(static_cast<std::size_t>(rows * inner), 1);
    const Floats b = values(static_cast<std::size_t>(inner * columns), 2);
    const Floats add = values(static_cast<std::size_t>(rows * columns), 3);
    expect_alike([&](const Loops& loops) {
      Floats c(add.size());
      loops.product({inner, columns, 2, -0.5F, a.data(), b.data(), add.data(), c.data()}, 0, rows);
      return c;
    });
  }
}

TEST_P(OtherLoops, MultiplyWithTheOwnTransposeAlike) {
  for (const auto& [rows, columns] : {std::pair{1, 9}, {8, 9}, {19, 40}}) {
    const Floats x = values(static_cast<std::size_t>(rows * columns), 1);
    expect_alike([&, rows = rows, columns = columns](const Loops& loops) {
      Floats a(static_cast<std::size_t>(rows * rows));
      const int half = gram_blocks(rows) / 2;
      loops.gram({rows, columns, x.data(), a.data()}, half, gram_blocks(rows));
      loops.gram({rows, columns, x.data(), a.data()}, 0, half);
      return a;
    });
  }
}

TEST_P(OtherLoops, NormaliseAlike) {
  const std::size_t channels = 24;
  const std::size_t tile = 240;
  const std::size_t count = 100 * channels;
  const Floats x = values(count, 1);
  const Floats dy = values(count, 2);
  const auto table = [&](float first, float step) {
    Floats t(tile);
    for (std::size_t i = 0; i < tile; ++i) t[i] = first + step * static_cast<float>(i % channels);
    return t;
  };
  const Floats mean = table(-0.2F, 0.01F);
  const Floats scale = table(0.8F, 0.02F);
  const Floats gain = table(1, 0.01F);
  const Floats offset = table(-0.1F, 0.02F);
  const std::vector<std::uint32_t> at{0, 2, 3};
  const NormParts parts{at.data(), at.size(), count / 4};  // two and a half tiles
  for (const bool gelu : {false, true}) {
    expect_alike([&](const Loops& loops) {
      Floats scratch(2 * tile);
      const NormLoop loop{channels,     tile,        gelu,          mean.data(),
                          scale.data(), gain.data(), offset.data(), scratch.data()};
      std::vector<double> sums(2 * channels);
      const NormParts whole{at.data(), 1, count};
      loops.norm_sums(loop, x.data(), count, sums.data());
      Floats y(count);
      loops.norm(loop, x.data(), y.data(), whole);
      Floats dx(count);
      loops.norm_gradient(loop, x.data(), dy.data(), dx.data(), parts, sums.data());
      loops.norm_backward(loop, mean.data(), offset.data(), x.data(), dx.data(), parts);
      for (const double sum : sums) y.push_back(static_cast<float>(sum / 100));
      y.insert(y.end(), dx.begin(), dx.end());
      return y;
    });
  }
}

TEST_P(OtherLoops, PoolAndFindTheSameArgmax) {
  const PoolLoop loop{{6, 8, 32}, 32, {2, 2}, {3, 4, 32}, true};
  const Floats map = values(2 * 6 * 8 * 32, 3);
  const Floats dy = values(2 * 3 * 4 * 32, 4);
  expect_alike([&](const Loops& loops) {
    Floats y(dy.size());
    std::vector<std::uint8_t> argmax(dy.size());
    loops.maxpool(loop, map.data(), y.data(), argmax.data(), 2);
    y.insert(y.end(), argmax.begin(), argmax.end());
    return y;
  });
}

// More channels than a word of the lists has bits, with a remainder for every vector width.
TEST_P(OtherLoops, SumOverTheSameArgmax) {
  for (const int outputs : {3, 64, 83}) {
    const SparseConvLoop loop{3, 1, 10, 32, 4, {2, 2}, {4, 4, outputs}};
    const Floats image = values(10 * 10 * 32, 5);
    const Floats w = values(static_cast<std::size_t>(outputs) * 9 * 32, 6);
    const Floats dy = values(static_cast<std::size_t>(16 * outputs), 7);
    std::vector<std::uint8_t> argmax(dy.size());
    std::mt19937 generator(8);
    for (std::uint8_t& p : argmax) p = generator() % 3 == 0 ? kNoArgmax : generator() % 4;
    expect_alike([&](const Loops& loops) {
      SparseConvLoop own = loop;
      own.lanes = loops.widest_lanes;
      std::vector<GradientEntry> entries(dy.size() + kSpareEntries);
      std::vector<std::int32_t> count(entries.size());
      std::vector<std::int32_t> place(entries.size());
      GradientLists lists{entries.data(), count.data(), place.data(), 0};
      Floats sums(w.size() + static_cast<std::size_t>(outputs) + image.size());
      float* db = sums.data() + w.size();
      loops.sparse_conv_weights(own, lists, image.data(), dy.data(), argmax.data(), sums.data(), db);
      loops.sparse_conv_data(own, lists, w.data(), dy.data(), argmax.data(), db + outputs);
      return sums;
    });
  }
}

std::vector<const Loops*> others() {
  std::vector<const Loops*> all = usable_loops();
  all.erase(all.begin());
  return all;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(OtherLoops);  // a processor may have only one set
INSTANTIATE_TEST_SUITE_P(Of, OtherLoops, testing::ValuesIn(others()), [](const auto& info) {
  std::string name = info.param->name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace trainer::cpu
