// How a column of a gradient is coded, against the reference in double and against examples worked by hand.
#include "kernels/ranks/gradient_code.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/ranks/messages.hpp"
#include "tests/reference/exchange.hpp"

namespace trainer {
namespace {

struct ColumnTrial {
  std::vector<float> sent;
  std::vector<float> residual;
  std::vector<std::uint32_t> code;
};

// Codes and decodes the column, and checks that no word behind the code is written.
ColumnTrial try_column(int bits, const std::vector<float>& x, const std::vector<float>& residual) {
  constexpr std::uint32_t kFence = 0xABCD1234;
  const std::size_t words = code_words(bits, x.size());
  ColumnTrial trial{std::vector<float>(x.size()), residual, std::vector<std::uint32_t>(words + 1, kFence)};
  std::vector<float> scratch(2 * sign_words(x.size()));
  encode_column(bits, x.data(), x.size(), trial.residual.data(), trial.code.data(), scratch.data());
  EXPECT_EQ(trial.code[words], kFence);
  trial.code.pop_back();
  decode_column(bits, trial.code.data(), x.size(), trial.sent.data());
  return trial;
}

struct Filling {
  const char* name;
  std::function<float(float)> of;  // of a number from -1 to 1
};

std::vector<Filling> fillings() {
  return {{"any", [](float u) { return u; }},
          {"negative", [](float u) { return -std::fabs(u) - 0.01F; }},
          {"positive", [](float u) { return std::fabs(u) + 0.01F; }},
          {"zero", [](float /*u*/) { return 0.0F; }},
          {"equal", [](float /*u*/) { return -3.0F; }},
          {"small", [](float u) { return u * 1e-30F; }},
          {"large", [](float u) { return u * 1e30F; }},
          {"mostly zero", [](float u) { return u > 0.9F ? u : 0.0F; }}};
}

TEST(GradientCode, AgreesWithTheReference) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (const Filling& filling : fillings()) {
    for (const int bits : {1, 16, 32}) {
      for (const std::size_t rows : {1U, 2U, 25U, 31U, 32U, 33U, 64U, 65U, 1100U}) {
        std::vector<float> x(rows), residual(rows);
        for (float& value : x) value = filling.of(uniform(random));
        for (float& value : residual) value = filling.of(uniform(random)) / 2;
        const ColumnTrial got = try_column(bits, x, residual);
        const reference::CodedColumn want =
            reference::coded(bits, {x.begin(), x.end()}, {residual.begin(), residual.end()});
        double largest = 0;
        for (const double value : want.sent) largest = std::max(largest, std::fabs(value));
        const std::string where = std::string(filling.name) + ", " + std::to_string(bits) + " bits, " +
                                  std::to_string(rows) + " rows";
        for (std::size_t i = 0; i < rows; ++i) {
          // A float sum may round across a border of bf16, from one neighbour to the other.
          const double tolerance = largest * (bits == 16 ? 0x1p-7 : 2e-6);
          ASSERT_NEAR(got.sent[i], want.sent[i], tolerance) << where << ", row " << i;
          ASSERT_NEAR(got.residual[i], want.residual[i], tolerance) << where << ", row " << i;
          if (bits == 32) continue;
          const double v = static_cast<double>(x[i]) + residual[i];
          ASSERT_NEAR(got.sent[i] + static_cast<double>(got.residual[i]), v,
                      3e-7 * std::max(largest, std::fabs(v)))
              << where << ", row " << i;
        }
      }
    }
  }
}

TEST(GradientCode, OneBitIsTheMeanOfASide) {
  const ColumnTrial trial = try_column(1, {1, -1, 3, -2.5F, 0}, {0, 0, 0, 0.5F, -4});
  EXPECT_EQ(trial.sent, std::vector<float>({2, -7.0F / 3, 2, -7.0F / 3, -7.0F / 3}));
  EXPECT_EQ(trial.residual, std::vector<float>({-1, -1 + 7.0F / 3, 1, -2 + 7.0F / 3, -4 + 7.0F / 3}));
  EXPECT_EQ(trial.code[2], 0b00101U);
}

TEST(GradientCode, BitKOfWordWIsRowWPlusKWords) {
  constexpr std::size_t kRows = 1100;
  EXPECT_EQ(4 * code_words(1, kRows), 148U);
  EXPECT_EQ(4 * code_words(32, kRows), 4400U);
  for (const std::size_t row : {0U, 34U, 35U, 500U, 1099U}) {
    std::vector<float> x(kRows, -1);
    x[row] = 1;
    const ColumnTrial trial = try_column(1, x, std::vector<float>(kRows));
    for (std::size_t w = 0; w < 35; ++w) {
      EXPECT_EQ(trial.code[2 + w], w == row % 35 ? 1U << (row / 35) : 0U) << "row " << row << ", word " << w;
    }
  }
}

TEST(GradientCode, ATinyRangeIsZeroAndIsKept) {
  for (const float tiny : {1e-37F, 1e-40F, -1e-45F, 0.0F, -0.0F}) {
    const std::vector<float> x(33, tiny);
    const ColumnTrial trial = try_column(1, x, std::vector<float>(33));
    EXPECT_EQ(trial.sent, std::vector<float>(33)) << tiny;
    EXPECT_EQ(trial.residual, x) << tiny;
  }
  EXPECT_EQ(try_column(1, {2e-36F}, {0}).sent[0], 2e-36F);
}

TEST(GradientCode, SixteenBitsAreRoundedToTheNearestEven) {
  const auto rounded = [](float value) { return from_bf16(to_bf16(value)); };
  EXPECT_EQ(rounded(1 + 0x1p-8F), 1);
  EXPECT_EQ(rounded(1 + 0x3p-8F), 1 + 0x1p-6F);
  EXPECT_EQ(rounded(1 + 0x1.002p-8F), 1 + 0x1p-7F);
  EXPECT_EQ(rounded(-0x1.FFp3F), -16);
  EXPECT_EQ(rounded(0x1p-130F), 0x1p-130F);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(rounded(-infinity), -infinity);
  for (const std::uint32_t bits : {0x7F800001U, 0x7FFFFFFFU, 0xFFFFFFFFU, 0xFFC00000U}) {
    EXPECT_TRUE(std::isnan(rounded(__builtin_bit_cast(float, bits)))) << bits;
  }
}

TEST(AddTree, AddsTheFirstHalfToTheSecond) {
  const float big = 0x1p24F;  // big + 1 is big
  for (const auto& [values, sum] :
       std::vector<std::pair<std::vector<float>, float>>{{{5}, 5},
                                                         {{big, 1, 1}, big + 2},
                                                         {{1, 1, big}, big},
                                                         {{big, 1, 1, 1}, big + 2},
                                                         {{1, 1, big, 1, 1, -big}, 2 - big + big}}) {
    std::vector<float> rows = values;
    add_tree(rows.data(), static_cast<int>(rows.size()), 1, 1);
    EXPECT_EQ(rows[0], sum) << values.size();
  }
}

std::vector<Column> columns_of(const std::vector<std::size_t>& rows) {
  std::vector<Column> columns;
  std::size_t end = 0;
  for (const std::size_t count : rows) {
    columns.push_back({end, count});
    end += count;
  }
  return columns;
}

TEST(DivideColumns, GivesEveryRankAboutEquallyManyWords) {
  std::mt19937 random(5);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<std::size_t> rows(random() % 40);
    for (std::size_t& count : rows) count = 1 + random() % 1000;
    const std::vector<Column> columns = columns_of(rows);
    const int bits = trial % 3 == 0 ? 1 : trial % 3 == 1 ? 16 : 32;
    const std::size_t parts = 1 + random() % 9;
    const std::vector<std::size_t> first = divide_columns(columns, bits, static_cast<int>(parts));
    ASSERT_EQ(first.size(), parts + 1);
    EXPECT_EQ(first.front(), 0U);
    EXPECT_EQ(first.back(), columns.size());
    std::vector<std::size_t> words;
    for (const std::size_t count : rows) words.push_back(code_words(bits, count));
    const std::size_t total = std::accumulate(words.begin(), words.end(), std::size_t{0});
    const std::size_t longest = words.empty() ? 0 : *std::max_element(words.begin(), words.end());
    for (std::size_t part = 0; part < parts; ++part) {
      ASSERT_LE(first[part], first[part + 1]);
      const auto at = [&](std::size_t p) { return words.begin() + static_cast<std::ptrdiff_t>(first[p]); };
      EXPECT_LE(std::accumulate(at(part), at(part + 1), std::size_t{0}), total / parts + longest + 1)
          << trial;
    }
  }
}

TEST(DivideColumns, ARankMayHaveNone) {
  EXPECT_EQ(divide_columns(columns_of({10, 10}), 32, 4), std::vector<std::size_t>({0, 1, 1, 2, 2}));
  EXPECT_EQ(divide_columns({}, 1, 2), std::vector<std::size_t>({0, 0, 0}));
}

TEST(SharedOut, KeepsTheSumOfEveryFloat) {
  const Residuals before{.own = {1, 2, 3, 4, 5, 6}, .sum = {10, 20}};
  for (const int ranks : {1, 2, 3, 8}) {
    const Residuals after = shared_out(before, ranks);
    ASSERT_EQ(after.own.size(), static_cast<std::size_t>(2 * ranks));
    EXPECT_EQ(after.sum, before.sum);
    float sum[2] = {};
    for (std::size_t i = 0; i < after.own.size(); ++i) sum[i % 2] += after.own[i];
    EXPECT_FLOAT_EQ(sum[0], 9) << ranks;
    EXPECT_FLOAT_EQ(sum[1], 12) << ranks;
  }
}

}  // namespace
}  // namespace trainer
