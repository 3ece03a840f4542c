// Networks that answer together, and views of an image: the means that they are, over all images and over single pictures.
#include <cmath>
#include <sstream>

#include "tests/data/png_writer.hpp"
#include "tests/support/program.hpp"
#include "trainer/train/evaluation.hpp"

namespace trainer::test {
namespace {

const Shape kThree{3, 3, 1};

// Two classes: the pixel in the middle against 100, in tenths.
std::vector<float> by_the_middle(std::span<const std::uint8_t> images) {
  std::vector<float> logits;
  for (std::size_t n = 0; n < images.size(); n += kThree.size()) {
    logits.push_back(0.1F * images[n + 4]);
    logits.push_back(10);
  }
  return logits;
}

double log_share(double middle) {
  return -std::log1p(std::exp(10 - 0.1 * middle));
}

TEST(Views, AreTheImageTwiceAndItsFourNeighbours) {
  const std::vector<std::uint8_t> image{1, 60, 3, 120, 101, 80, 7, 140, 9};
  const std::vector<float> logits = with_views(by_the_middle(image), image, kThree, by_the_middle);
  const double expected =
      (2 * log_share(101) + log_share(60) + log_share(120) + log_share(80) + log_share(140)) / 6;
  ASSERT_EQ(logits.size(), 2U);
  EXPECT_NEAR(logits[0], expected, 1e-6);
}

TEST(Views, ShowTheBackgroundWhereNothingWas) {
  constexpr std::array<int, 4> kEmpty{7, 1, 5, 3};  // the middle of the side that a shift leaves empty
  std::vector<std::uint8_t> seen;
  const auto recording = [&](std::span<const std::uint8_t> images) {
    seen.assign(images.begin(), images.end());
    return by_the_middle(images);
  };
  const std::vector<std::uint8_t> image(9, 50);
  with_views(by_the_middle(image), image, kThree, recording);
  ASSERT_EQ(seen.size(), 36U);
  for (int view = 0; view < 4; ++view) {
    const auto begin = seen.begin() + 9 * view;
    EXPECT_EQ(std::count(begin, begin + 9, 0), 3) << view;
    EXPECT_EQ(begin[kEmpty[view]], 0) << view;
  }
}

TEST(Views, AreThoseOfTheLeastCertainTenth) {
  std::vector<std::uint8_t> images;
  for (int n = 0; n < 2000; ++n) {
    std::vector<std::uint8_t> image(9, 0);
    image[4] = static_cast<std::uint8_t>(n % 10 == 3 ? 101 : 120 + n % 100);
    images.insert(images.end(), image.begin(), image.end());
  }
  const std::vector<float> logits = with_views(by_the_middle(images), images, kThree, by_the_middle);
  const std::vector<float> plain = by_the_middle(images);
  for (std::size_t n = 0; n < 2000; ++n) {
    if (n % 10 == 3)
      EXPECT_NEAR(logits[2 * n], (2 * log_share(101) + 4 * log_share(0)) / 6, 1e-5) << n;
    else
      EXPECT_EQ(logits[2 * n], plain[2 * n]) << n;
  }
}

TEST(Views, LeaveLogitsThatAreNotFinite) {
  const std::vector<std::uint8_t> image(9, 50);
  for (const float bad : {NAN, INFINITY}) {
    const std::vector<float> logits = with_views({bad, 1}, image, kThree, by_the_middle);
    ASSERT_EQ(logits.size(), 2U);
    EXPECT_FALSE(std::isfinite(logits[0]));
    EXPECT_EQ(logits[1], 1);
  }
}

class CommitteeProgram : public ProgramTest {
 protected:
  void SetUp() override {
    for (const char* seed : {"1", "2", "3"})
      ASSERT_EQ(trainer(small_training({"--seed", seed, "--out", std::string("run") + seed})).code, 0);
  }

  // What --logits writes: rows of label, prediction and logits.
  std::vector<std::vector<double>> logits(Words words) const {
    words.insert(words.end(), {"--threads", "1", "--logits", "logits.csv"});
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::istringstream lines(read_text(folder_ / "logits.csv"));
    std::string line;
    std::getline(lines, line);
    std::vector<std::vector<double>> rows;
    while (std::getline(lines, line)) {
      std::istringstream words_of_line(line);
      rows.emplace_back();
      for (std::string word; std::getline(words_of_line, word, ',');) rows.back().push_back(std::stod(word));
    }
    return rows;
  }

  static double log_softmax(const std::vector<double>& row, std::size_t label) {
    double sum = 0;
    for (std::size_t c = 2; c < row.size(); ++c) sum += std::exp(row[c]);
    return row[2 + label] - std::log(sum);
  }
};

TEST_F(CommitteeProgram, AnswersByTheMeanOfLogSoftmax) {
  const auto one = logits({"eval", "run1"}), two = logits({"eval", "run2"}), three = logits({"eval", "run3"});
  const auto together = logits({"committee", "run1", "run2", "run3"});
  ASSERT_EQ(together.size(), one.size());
  double loss = 0, correct = 0;
  for (std::size_t n = 0; n < one.size(); ++n) {
    std::vector<double> mean;
    for (std::size_t c = 0; c + 2 < one[n].size(); ++c) {
      mean.push_back((log_softmax(one[n], c) + log_softmax(two[n], c) + log_softmax(three[n], c)) / 3);
      ASSERT_NEAR(together[n][2 + c], mean[c], 1e-5) << n;
    }
    const auto label = static_cast<std::size_t>(one[n][0]);
    correct += std::ranges::max_element(mean) - mean.begin() == static_cast<std::ptrdiff_t>(label) ? 1 : 0;
    loss -= log_softmax(together[n], label);
  }
  const Json json =
      Json::parse(trainer({"committee", "run1", "run2", "run3", "--eval", "--json", "--threads", "1"}).out);
  EXPECT_NEAR(json["accuracy"].get<double>(), correct / static_cast<double>(one.size()), 1e-9);
  EXPECT_NEAR(json["loss"].get<double>(), loss / static_cast<double>(one.size()), 1e-5);
  ASSERT_EQ(json["members"].size(), 2U);
  EXPECT_PRED2(contains, json["members"][1].get<std::string>(), "run3");
}

TEST_F(CommitteeProgram, IsAskedAboutPicturesToo) {
  std::mt19937 random(5);
  data::Image image{static_cast<int>(kSmallEdge), static_cast<int>(kSmallEdge), 1, {}};
  const std::vector<std::uint8_t> pixels = small_picture(1, random);
  image.pixels.assign(pixels.begin(), pixels.end());
  folder_.write("1.png", encode_png(image));
  const auto confidence = [&](Words words) {
    words.insert(words.end(), {"--fit", "picture", "--json", "--threads", "1"});
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out)[0]["confidence"].get<double>();
  };
  const double alone = confidence({"predict", "run1", "1.png"});
  EXPECT_NEAR(confidence({"committee", "run1", "run1", "--predict", "1.png"}), alone, 1e-6);
  EXPECT_NE(confidence({"committee", "run1", "run2", "--predict", "1.png"}), alone);
  EXPECT_NE(confidence({"predict", "run1", "1.png", "--views", "5"}), alone);
}

TEST_F(CommitteeProgram, ViewsAreSaid) {
  const Outcome outcome = trainer({"eval", "run1", "--views", "5", "--threads", "1"});
  EXPECT_PRED2(contains, outcome.out, "\nviews         5 of the least certain tenth");
  EXPECT_EQ(Json::parse(trainer({"eval", "run1", "--views", "5", "--json", "--threads", "1"}).out)["views"],
            5);
  EXPECT_FALSE(Json::parse(trainer({"eval", "run1", "--json", "--threads", "1"}).out).contains("views"));
}

TEST_F(CommitteeProgram, WrongUsageIsRefused) {
  for (const Words& words : {Words{"committee", "run1"},
                             {"eval", "run1", "--views", "3"},
                             {"committee", "run1", "run2", "--eval", "--predict", "1.png"},
                             {"committee", "run1", "run2", "--fit", "digit"}})
    expect_one_line(trainer(words), 2);
  expect_one_line(trainer({"committee", "run1", "nowhere"}), 1);
  ASSERT_EQ(trainer({"train", "--model", "small.yaml", "--limit-train", "100", "--epochs", "1", "--threads",
                     "1", "--out", "other"})
                .code,
            0);
  const Outcome other = trainer({"committee", "run1", "other", "--data", "data"});
  expect_one_line(other, 2);
  EXPECT_PRED2(contains, other.err, "run1 and other take other images or know other labels");
}

}  // namespace
}  // namespace trainer::test
