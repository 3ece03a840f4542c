// Data sets other than MNIST through the whole program: pictures in folders, colour, many classes, the run's
// own data.
#include <cmath>

#include "tests/data/png_writer.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class DataSets : public ProgramTest {
 protected:
  // Pictures of the small data's strokes, in `channels` channels: train/NAME/*.png and test/NAME/*.png.
  void write_pictures(const std::string& folder, const Words& names, int channels) {
    std::mt19937 random(11);
    for (const char* split : {"train", "test"}) {
      for (std::size_t label = 0; label < names.size(); ++label) {
        for (int i = 0; i < 20; ++i)
          write_picture(folder + "/" + split + "/" + names[label], label, i, channels, random);
      }
    }
  }

  void write_picture(const std::string& folder, std::size_t label, int number, int channels,
                     std::mt19937& random) {
    data::Image image{static_cast<int>(kSmallEdge), static_cast<int>(kSmallEdge), channels, {}};
    for (const std::uint8_t pixel : small_picture(static_cast<int>(label) % kSmallClasses, random)) {
      for (int c = 0; c < channels; ++c)
        image.pixels.push_back(c == 0 ? pixel : static_cast<std::uint8_t>(pixel / 2));
    }
    folder_.write(folder + "/" + std::to_string(number) + ".png", encode_png(image));
  }

  Outcome train_on(const std::string& data, const Words& more) const {
    Words words{"train", "--model", "learns.yaml", "--threads", "1", "--data", data, "--out", "run"};
    words.insert(words.end(), more.begin(), more.end());
    return trainer(words);
  }

  Json evaluated(const std::string& data) const {
    const Outcome outcome = trainer({"eval", "run", "--data", data, "--threads", "1", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false);
  }

  DataSets() {
    folder_.write("learns.yaml",
                  small_network({.rate = "0.05", .length = "epochs: 15", .dropout_and_batchnorm = true}));
  }
};

TEST_F(DataSets, PicturesInFoldersKeepTheirNames) {
  write_pictures("pictures", {"bar", "beam", "slope", "square"}, 1);
  const Outcome outcome = train_on("pictures", {});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "80 training and 80 test images of 12x12x1, 4 classes");
  const Json report = evaluated("pictures");
  EXPECT_GT(report["accuracy"], 0.8);
  EXPECT_EQ(report["classes"][2]["name"], "slope");
  EXPECT_EQ(report["classes"][2]["images"], 20);
  const Outcome table = trainer({"eval", "run", "--data", "pictures", "--threads", "1"});
  for (const char* name : {"bar", "beam", "slope", "square"}) EXPECT_PRED2(contains, table.out, name);
  const Outcome guess =
      trainer({"predict", "run", "pictures/test/slope/3.png", "--fit", "picture", "--threads", "1"});
  EXPECT_EQ(guess.code, 0) << guess.err;
  EXPECT_PRED2(contains, guess.out, "slope");

  // The same number of classes under other names is another question.
  write_pictures("others", {"a", "b", "c", "d"}, 1);
  const Outcome other = trainer({"eval", "run", "--data", "others"});
  expect_one_line(other, 2);
  EXPECT_PRED2(contains, other.err, "slope");
}

TEST_F(DataSets, ColourIsThreeChannels) {
  write_pictures("colour", {"0", "1", "2", "3"}, 3);
  const Outcome outcome = train_on("colour", {"--channels", "3"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "12x12x3");
  EXPECT_GT(evaluated("colour")["accuracy"], 0.8);
  const Outcome guess =
      trainer({"predict", "run", "colour/test/1/3.png", "colour/test/3/3.png", "--threads", "1", "--json"});
  EXPECT_EQ(guess.code, 0) << guess.err;
  EXPECT_EQ(Json::parse(guess.out).size(), 2U);
  expect_one_line(trainer({"predict", "run", "colour/test/1/3.png", "--fit", "digit"}), 2);
  const Outcome grey = trainer({"eval", "run", "--data", "data"});
  expect_one_line(grey, 1);
  EXPECT_PRED2(contains, grey.err, "1 channel");
}

TEST_F(DataSets, BrokenPicturesStopTheRunOrAreCounted) {
  write_pictures("pictures", {"0", "1", "2", "3"}, 1);
  folder_.write("pictures/train/1/broken.png", "no picture at all");
  const Outcome refused = train_on("pictures", {});
  expect_one_line(refused, 1);
  EXPECT_PRED2(contains, refused.err, "pictures/train/1/broken.png");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  const Outcome outcome = train_on("pictures", {"--skip-bad-images"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "1 broken pictures left out");
  EXPECT_EQ(trainer({"train", "--resume", "run"}).code, 0);
  expect_one_line(trainer({"eval", "run", "--data", "pictures"}), 1);
  EXPECT_EQ(trainer({"eval", "run", "--data", "pictures", "--skip-bad-images", "--threads", "1"}).code, 0);
}

TEST_F(DataSets, FortySevenClassesMakeAHeadOfFortySeven) {
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;
  std::mt19937 random(3);
  for (int i = 0; i < 188; ++i) {
    const std::vector<std::uint8_t> picture = small_picture(i % kSmallClasses, random);
    pixels.insert(pixels.end(), picture.begin(), picture.end());
    labels.push_back(static_cast<std::uint8_t>(i % 47));
  }
  for (const char* prefix : {"many/train", "many/t10k"}) {
    folder_.write(std::string(prefix) + "-images-idx3-ubyte",
                  idx_bytes({188, kSmallEdge, kSmallEdge}, pixels));
    folder_.write(std::string(prefix) + "-labels-idx1-ubyte", idx_bytes({188}, labels));
  }
  const Outcome outcome = train_on("many", {"--epochs", "1"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "47 classes");
  const Json report = evaluated("many");
  EXPECT_EQ(report["classes"].size(), 47U);
  EXPECT_EQ(report["confusion"].size(), 47U);
  EXPECT_PRED2(contains, trainer({"eval", "run", "--data", "many", "--threads", "1"}).out, "--json");
  expect_one_line(train_on("many", {"--classes", "40"}), 1);
}

TEST_F(DataSets, EvaluationLooksAtTheRunsOwnData) {
  write_small_data(folder_, {.seed = 99});  // another set under the same name as the one that it replaces
  fs::rename(folder_ / "data", folder_ / "elsewhere");
  ASSERT_EQ(train_on("elsewhere", {}).code, 0);
  const Outcome own = trainer({"eval", "run", "--threads", "1", "--json"});
  ASSERT_EQ(own.code, 0) << own.err;
  const Json report = Json::parse(own.out, nullptr, false);
  EXPECT_EQ(report["accuracy"], record("run").results["test"]["accuracy"]);
  EXPECT_EQ(report["images"], 100);
}

TEST_F(DataSets, OneClassIsNothingToLearn) {
  write_pictures("one", {"only"}, 1);
  const Outcome outcome = train_on("one", {});
  expect_one_line(outcome, 2);
  EXPECT_PRED2(contains, outcome.err, "only one class");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(DataSets, NormalisesByTheImagesThatAreTrainedOnWhereTheRecipeAsksForIt) {
  folder_.write("learns.yaml", small_network({.more_recipe = "  input: {normalize: data}\n"}));
  ASSERT_EQ(train_on("data", {"--validation", "120"}).code, 0);
  const SafetensorsFile file = SafetensorsFile::read(folder_ / "run/model.safetensors");
  const std::vector<std::uint8_t> images = read_bytes(folder_ / "data/train-images-idx3-ubyte");
  double sum = 0;
  double squares = 0;
  const std::size_t end = 16 + 80 * kSmallEdge * kSmallEdge;  // of 200, without the 120 that are held out
  for (std::size_t at = 16; at < end; ++at) {
    sum += images[at];
    squares += static_cast<double>(images[at]) * images[at];
  }
  const auto count = static_cast<double>(end - 16);
  const double deviation = std::sqrt(squares / count - sum / count * sum / count);
  const Json scaling = Json::parse(file.text("scaling"));
  EXPECT_NEAR(std::stod(scaling["scale"].get<std::string>()), 1 / deviation, 1e-6);
  EXPECT_NEAR(std::stod(scaling["shift"].get<std::string>()), -sum / count / deviation, 1e-5);
}

}  // namespace
}  // namespace trainer::test
