// trainer predict on a small network: which pictures it answers, and what it says about the others.
#include "tests/data/png_writer.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class Predict : public ProgramTest {
 protected:
  Predict() {
    folder_.write("learns.yaml",
                  small_network({.rate = "0.05", .length = "epochs: 15", .dropout_and_batchnorm = true}));
    EXPECT_EQ(
        trainer({"train", "--model", "learns.yaml", "--data", "data", "--threads", "1", "--out", "run"}).code,
        0);
    std::mt19937 random(5);
    for (int label = 0; label < kSmallClasses; ++label) {
      data::Image image{static_cast<int>(kSmallEdge), static_cast<int>(kSmallEdge), 1, {}};
      const std::vector<std::uint8_t> pixels = small_picture(label, random);
      image.pixels.assign(pixels.begin(), pixels.end());
      folder_.write(std::to_string(label) + ".png", encode_png(image));
    }
    folder_.write("text.png", "no picture");
    folder_.write("nothing.png", "");
    folder_.write("blank.png", encode_png({40, 40, 1, std::vector<std::uint8_t>(1600, 255)}));
  }

  Outcome predict(const Words& more) const {
    Words words{"predict", "run", "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return trainer(words);
  }
};

TEST_F(Predict, AnswersEachPictureWithLabelAndConfidence) {
  const Outcome outcome = predict({"--fit", "picture", "0.png", "1.png", "2.png", "3.png"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* line : {"0.png: 0 ", "1.png: 1 ", "2.png: 2 ", "3.png: 3 "})
    EXPECT_PRED2(contains, outcome.out, line);
  const Json answers = Json::parse(predict({"--fit", "picture", "2.png", "--json"}).out);
  EXPECT_EQ(answers[0]["label"], "2");
  EXPECT_GT(answers[0]["confidence"], 0.5);
  EXPECT_LE(answers[0]["confidence"].get<double>() + answers[0]["second_confidence"].get<double>(), 1.0001);
}

TEST_F(Predict, AnswersTheRestWhenOnePictureCannotBeRead) {
  const Outcome outcome =
      predict({"0.png", "text.png", "1.png", "missing.png", "nothing.png", "blank.png", "data"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.out, "0.png: ");
  EXPECT_PRED2(contains, outcome.out, "1.png: ");
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2);
  for (const char* name : {"text.png", "missing.png", "nothing.png", "blank.png", "data"})
    EXPECT_PRED2(contains, outcome.err, name);
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 5);
  const Outcome json = predict({"text.png", "0.png", "--json"});
  EXPECT_EQ(json.code, 1);
  const Json answers = Json::parse(json.out);
  EXPECT_TRUE(answers[0].contains("error"));
  EXPECT_TRUE(answers[1].contains("label"));
}

TEST_F(Predict, AnswersEachOfSeveralDigitsWithItsBox) {
  data::Image page{60, 100, 1, std::vector<std::uint8_t>(6000, 230)};
  for (const int left : {20, 60})
    for (int y = 20; y < 44; ++y)
      for (int x = left; x < left + 5; ++x) page.pixels[static_cast<std::size_t>(y * 100 + x)] = 20;
  folder_.write("two.png", encode_png(page));
  const Outcome text = predict({"two.png"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_PRED2(contains, text.out, "several digits: ");
  const Json answers = Json::parse(predict({"two.png", "0.png", "--json"}).out);
  ASSERT_EQ(answers[0]["digits"].size(), 2U);
  EXPECT_EQ(answers[0]["digits"][0]["box"], (Json{20, 20, 5, 24}));
  EXPECT_EQ(answers[0]["digits"][1]["box"], (Json{60, 20, 5, 24}));
  EXPECT_GT(answers[0]["digits"][1]["probability"], 0);
  EXPECT_EQ(answers[1]["digits"][0]["label"], answers[1]["label"]);
}

TEST_F(Predict, TakesACheckpointAndARunById) {
  EXPECT_EQ(trainer({"predict", "run/checkpoint.safetensors", "0.png", "--threads", "1"}).code, 0);
  EXPECT_EQ(trainer({"predict", "ru", "0.png"}, {"TRAINER_RUNS=."}).code, 0);
  EXPECT_EQ(trainer({"predict", "last", "0.png"}, {"TRAINER_RUNS=."}).code, 0);
  const Outcome none = trainer({"predict", "nothing", "0.png"});
  expect_one_line(none, 1);
}

}  // namespace
}  // namespace trainer::test
