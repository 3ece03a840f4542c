// trainer predict on a small network: which pictures it answers, and what it says about the others.
#include <fmt/format.h>

#include "data/dataset.hpp"
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
  const Outcome outcome = predict(
      {"--fit", "digit", "0.png", "text.png", "1.png", "missing.png", "nothing.png", "blank.png", "data"});
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
  const Outcome text = predict({"--fit", "digit", "two.png"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_PRED2(contains, text.out, "several digits: ");
  const Json answers = Json::parse(predict({"--fit", "digit", "two.png", "0.png", "--json"}).out);
  ASSERT_EQ(answers[0]["digits"].size(), 2U);
  EXPECT_EQ(answers[0]["digits"][0]["box"], (Json{20, 20, 5, 24}));
  EXPECT_EQ(answers[0]["digits"][1]["box"], (Json{60, 20, 5, 24}));
  EXPECT_GT(answers[0]["digits"][1]["probability"], 0);
  EXPECT_EQ(answers[1]["digits"][0]["label"], answers[1]["label"]);
}

TEST_F(Predict, NoControlCharacterReachesTheTerminal) {
  const std::string picture = "\x1b[2J.png";
  fs::copy_file(folder_ / "0.png", folder_ / picture);
  std::vector<std::uint8_t> strange{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n',
                                    0,    0,   1,   0,   0x1b, '[',  '2',  'J'};
  strange.resize(40);
  folder_.write("strange.png", strange);
  const SafetensorsFile file = SafetensorsFile::read(folder_ / "run/model.safetensors");
  Metadata metadata = file.metadata();
  metadata.erase(std::string(kContentHashKey));
  metadata["label_names"] = Json{"\x1b[1m0", "\x1b[1m1", "\x1b[1m2", "\x1b[1m3"}.dump();
  write_safetensors(folder_ / "labels.safetensors", file.tensors(), metadata);
  for (const Words& words :
       {Words{"predict", "labels.safetensors", picture, "strange.png", "\x1b[3J.png"},
        Words{"eval", "labels.safetensors", "--data", "data"}, Words{"eval", "run", "--data", "\x1b[4J"}}) {
    const Outcome outcome = trainer(words);
    EXPECT_EQ((outcome.out + outcome.err).find('\x1b'), std::string::npos) << outcome.out << outcome.err;
    EXPECT_PRED2(contains, outcome.out + outcome.err, "?[") << words[0];
  }
}

TEST_F(Predict, TakesACheckpointAndARunById) {
  EXPECT_EQ(trainer({"predict", "run/checkpoint.safetensors", "0.png", "--threads", "1"}).code, 0);
  EXPECT_EQ(trainer({"predict", "ru", "0.png"}, {"TRAINER_RUNS=."}).code, 0);
  EXPECT_EQ(trainer({"predict", "last", "0.png"}, {"TRAINER_RUNS=."}).code, 0);
  const Outcome none = trainer({"predict", "nothing", "0.png"});
  expect_one_line(none, 1);
}

// Writes each of `images` as a picture and returns their names.
Words write_pictures(const TemporaryFolder& folder, const data::Bytes& images, const Shape& shape,
                     std::size_t count) {
  Words names;
  for (std::size_t i = 0; i < count; ++i) {
    const auto begin = images.begin() + static_cast<std::ptrdiff_t>(i * shape.size());
    names.push_back("written" + std::to_string(i) + ".png");
    folder.write(
        names.back(),
        encode_png({shape.h, shape.w, shape.c, {begin, begin + static_cast<std::ptrdiff_t>(shape.size())}}));
  }
  return names;
}

TEST_F(Predict, AnswersTheTestPicturesAsEvalDoes) {
  const data::Dataset small = data::load_dataset(folder_ / "data");
  const Words names = write_pictures(folder_, small.test.images, small.shape, small.test.count());
  Words words = names;
  words.emplace_back("--json");
  const Json answers = Json::parse(predict(words).out);
  ASSERT_EQ(answers.size(), small.test.count());
  std::size_t right = 0;
  for (std::size_t i = 0; i < answers.size(); ++i)
    right += answers[i]["label"] == std::to_string(small.test.labels[i]) ? 1U : 0U;
  const Json tested = Json::parse(trainer({"eval", "run", "--data", "data", "--threads", "1", "--json"}).out);
  EXPECT_DOUBLE_EQ(tested["accuracy"].get<double>(),
                   static_cast<double>(right) / static_cast<double>(small.test.count()));
}

// Trains on a folder of the small pictures, dark on light.
TEST_F(Predict, TakesDarkPicturesAsTheyAreIfItWasTrainedOnSuch) {
  std::mt19937 random(3);
  Words names;
  for (const char* split : {"train", "test"}) {
    for (int i = 0; i < 60; ++i) {
      std::vector<std::uint8_t> pixels;
      for (const std::uint8_t value : small_picture(i % kSmallClasses, random))
        pixels.push_back(static_cast<std::uint8_t>(255 - value));
      const std::string name = fmt::format("dark/{}/{}/{}.png", split, i % kSmallClasses, i);
      folder_.write(name,
                    encode_png({static_cast<int>(kSmallEdge), static_cast<int>(kSmallEdge), 1, pixels}));
      if (split == std::string("test")) names.push_back(name);
    }
  }
  ASSERT_EQ(
      trainer({"train", "--model", "learns.yaml", "--data", "dark", "--threads", "1", "--out", "darkrun"})
          .code,
      0);
  const Json tested =
      Json::parse(trainer({"eval", "darkrun", "--data", "dark", "--threads", "1", "--json"}).out);
  EXPECT_GT(tested["accuracy"], 0.8);
  Words words{"predict", "darkrun", "--threads", "1", "--json"};
  words.insert(words.end(), names.begin(), names.end());
  const Json answers = Json::parse(trainer(words).out);
  double right = 0;
  for (std::size_t i = 0; i < names.size(); ++i)
    right += answers[i]["label"] == std::to_string(i % kSmallClasses) ? 1 : 0;
  EXPECT_DOUBLE_EQ(tested["accuracy"].get<double>(), right / static_cast<double>(names.size()));
}

class PredictDigits : public ProgramTest {
 protected:
  PredictDigits() {
    folder_.write("learns.yaml", small_network({.rate = "0.05", .length = "epochs: 1"}));
    EXPECT_EQ(trainer({"train", "--model", "learns.yaml", "--data", kMnist, "--limit-train", "400",
                       "--threads", "1", "--out", "run"})
                  .code,
              0);
  }

  static constexpr const char* kMnist = TRAINER_SOURCE_DIR "/data/mnist";
};

TEST_F(PredictDigits, ADigitOfTheDataSetIsSeenAsEvalSeesIt) {
  EXPECT_EQ(SafetensorsFile::read(folder_ / "run/model.safetensors").text("fit"), "digit");
  EXPECT_EQ(SafetensorsFile::read(folder_ / "run/checkpoint.safetensors").text("fit"), "digit");
  const data::Dataset mnist = data::load_dataset(kMnist);
  const Words names = write_pictures(folder_, mnist.test.images, mnist.shape, 100);
  Words words{"predict", "run", "--threads", "1"};
  words.insert(words.end(), names.begin(), names.end());
  const Outcome as_digits = trainer(words);
  EXPECT_EQ(as_digits.code, 0) << as_digits.err;
  words.insert(words.end(), {"--fit", "picture"});
  EXPECT_EQ(as_digits.out, trainer(words).out);
}

// Takes 'fit' out of a model, as version 0.1.0 wrote it, and gives it another data set.
TEST_F(PredictDigits, AnOldFileOfAnUnknownDataSetAsksForTheForm) {
  const SafetensorsFile file = SafetensorsFile::read(folder_ / "run/model.safetensors");
  Metadata metadata = file.metadata();
  metadata.erase(std::string(kContentHashKey));
  metadata.erase("fit");
  fs::create_directories(folder_ / "old");
  write_safetensors(folder_ / "old/mnist.safetensors", file.tensors(), metadata);
  metadata["data"] = "crc32:1-2-3-4";
  write_safetensors(folder_ / "old/other.safetensors", file.tensors(), metadata);
  data::Image page{60, 60, 1, std::vector<std::uint8_t>(3600, 255)};
  for (std::size_t y = 15; y < 45; ++y) page.pixels[y * 60 + 20] = page.pixels[y * 60 + 21] = 0;
  folder_.write("page.png", encode_png(page));
  const auto answer = [&](const std::string& model, const Words& more) {
    Words words{"predict", model, "page.png", "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return trainer(words);
  };
  const Outcome digit = answer("run", {});
  EXPECT_EQ(digit.code, 0) << digit.err;
  EXPECT_NE(digit.out, answer("run", {"--fit", "picture"}).out);
  EXPECT_EQ(digit.out, answer("old/mnist.safetensors", {}).out);
  expect_one_line(answer("old/other.safetensors", {}), 2);
  EXPECT_PRED2(contains, answer("old/other.safetensors", {}).err, "--fit");
  EXPECT_EQ(digit.out, answer("old/other.safetensors", {"--fit", "digit"}).out);
  EXPECT_EQ(answer("old/other.safetensors", {"--fit", "picture"}).out,
            answer("run", {"--fit", "picture"}).out);
}

}  // namespace
}  // namespace trainer::test
