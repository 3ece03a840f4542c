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

TEST_F(DataSets, TheVariableDoesNotTakeARunsOwnDataAway) {
  write_small_data(folder_, {.seed = 99});
  fs::rename(folder_ / "data", folder_ / "elsewhere");
  write_small_data(folder_);
  ASSERT_EQ(train_on("elsewhere", {}).code, 0);
  const Outcome own = trainer({"eval", "run", "--threads", "1", "--json"}, {"TRAINER_DATA=data"});
  ASSERT_EQ(own.code, 0) << own.err;
  const Json report = Json::parse(own.out, nullptr, false);
  EXPECT_EQ(report["data"]["path"], (folder_ / "elsewhere").string());
  EXPECT_EQ(report["data"]["trained_on"], true);
  EXPECT_PRED2(contains, trainer({"eval", "run", "--threads", "1"}).out, (folder_ / "elsewhere").string());
  // Moved data is found where the variable says, and nothing else is taken for it.
  fs::rename(folder_ / "elsewhere", folder_ / "moved");
  EXPECT_EQ(trainer({"eval", "run", "--threads", "1"}, {"TRAINER_DATA=moved"}).code, 0);
  const Outcome other = trainer({"eval", "run", "--threads", "1"}, {"TRAINER_DATA=data"});
  expect_one_line(other, 2);
  EXPECT_PRED2(contains, other.err, "elsewhere: the run's data set is not there any more");
}

TEST_F(DataSets, SomeOfTheLabelsAreTestedByName) {
  write_pictures("pictures", {"bar", "beam", "slope", "square"}, 1);
  ASSERT_EQ(train_on("pictures", {}).code, 0);
  fs::create_directories(folder_ / "some/test");
  for (const char* label : {"beam", "square"})
    fs::copy(folder_ / "pictures/test" / label, folder_ / "some/test" / label);
  const Json report = evaluated("some");
  EXPECT_GT(report["accuracy"], 0.8);
  EXPECT_EQ(report["classes"][0]["images"], 0);
  EXPECT_EQ(report["classes"][1]["images"], 20);
  EXPECT_EQ(report["classes"][3]["images"], 20);
  fs::rename(folder_ / "some/test/beam", folder_ / "some/test/curve");
  const Outcome other = trainer({"eval", "run", "--data", "some"});
  expect_one_line(other, 2);
  EXPECT_PRED2(contains, other.err, "does not know its labels curve; it knows bar, beam, slope, square");
}

TEST_F(DataSets, ANetworkOfNumbersTakesFoldersByNumber) {
  ASSERT_EQ(train_on("data", {}).code, 0);
  write_pictures("all", {"0", "1", "2", "3"}, 1);
  for (const char* label : {"0", "1"}) fs::remove_all(folder_ / "all/test" / label);
  EXPECT_GT(evaluated("all")["accuracy"], 0.8);
}

TEST_F(DataSets, ALabelOfOtherBytesIsTrainedSavedAndTested) {
  write_pictures("pictures", {"0", "f\xfcnf", "2", "3"}, 1);
  const Outcome outcome = train_on("pictures", {"--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(evaluated("pictures")["classes"][3]["name"], "f\\xfcnf");
  EXPECT_EQ(trainer({"predict", "run", "pictures/test/3/1.png", "--threads", "1", "--json"}).code, 0);
}

TEST_F(DataSets, TranspositionIsKeptWithTheRun) {
  for (const char* part : {"train", "t10k"}) {  // rows and columns exchanged, under the names of EMNIST
    std::vector<std::uint8_t> images =
        read_bytes(folder_ / ("data/" + std::string(part) + "-images-idx3-ubyte"));
    constexpr std::size_t kEdge = kSmallEdge;
    for (std::size_t image = 16; image < images.size(); image += kEdge * kEdge)
      for (std::size_t y = 0; y < kEdge; ++y)
        for (std::size_t x = 0; x < y; ++x)
          std::swap(images[image + y * kEdge + x], images[image + x * kEdge + y]);
    folder_.write("e/emnist-x-" + std::string(part) + "-images-idx3-ubyte", images);
    fs::copy(folder_ / ("data/" + std::string(part) + "-labels-idx1-ubyte"),
             folder_ / ("e/emnist-x-" + std::string(part) + "-labels-idx1-ubyte"));
  }
  ASSERT_EQ(
      trainer({"train", "--model", "learns.yaml", "--threads", "1", "--data", "data", "--out", "upright"})
          .code,
      0);
  const Outcome outcome = train_on("e", {"--transpose"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  expect_same_tensors(folder_ / "run/model.safetensors", folder_ / "upright/model.safetensors");
  const Json accuracy = record("run").results["test"]["accuracy"];
  for (const char* data : {"e", "data", ""}) EXPECT_EQ(evaluated(data)["accuracy"], accuracy) << data;
  EXPECT_EQ(trainer({"train", "--resume", "run"}).code, 0);
  EXPECT_PRED2(contains, trainer({"train", "--resume", "run", "--transpose"}).err,
               "--transpose cannot be combined with --resume");

  const Outcome told =
      trainer({"train", "--model", "learns.yaml", "--threads", "1", "--data", "e", "--no-save"});
  ASSERT_EQ(told.code, 0);
  EXPECT_PRED2(contains, told.err, "warning: EMNIST's files have rows and columns of every image exchanged");
  EXPECT_PRED2(contains, trainer({"eval", "upright", "--data", "e", "--threads", "1"}).out, "--transpose");
}

TEST_F(DataSets, ValidationPicturesOfTheDataSetAreHeldOut) {
  write_pictures("pictures", {"0", "1", "2", "3"}, 1);
  fs::copy(folder_ / "pictures/test", folder_ / "pictures/valid", fs::copy_options::recursive);
  ASSERT_EQ(train_on("pictures", {}).code, 0);
  const RunRecord whole = record("run");
  EXPECT_EQ(whole.data.train_images, 80U);
  EXPECT_EQ(whole.data.validation_images, 80U);
  EXPECT_EQ(whole.results["validation"]["accuracy"], whole.results["test"]["accuracy"]);
  fs::remove_all(folder_ / "run");
  ASSERT_EQ(train_on("pictures", {"--limit-train", "40", "--validation", "8"}).code, 0);
  EXPECT_EQ(record("run").data.train_images, 40U);
  EXPECT_EQ(record("run").data.validation_images, 88U);
  ASSERT_EQ(train_on("pictures", {"--validation", "0", "--out", "all"}).code, 0);
  EXPECT_EQ(record("all").data.validation_images, 0U);
}

TEST_F(DataSets, ChosenImagesAreSpreadOverTheLabels) {
  write_pictures("pictures", {"0", "1", "2", "3"}, 1);
  ASSERT_EQ(train_on("pictures", {"--validation", "20", "--limit-train", "40"}).code, 0);
  const RunRecord whole = record("run");
  EXPECT_EQ(whole.recipe["settings"]["subset"], "spread evenly over the labels, by the seed");
  EXPECT_GT(whole.results["validation"]["accuracy"], 0.7);
  EXPECT_GT(whole.results["test"]["accuracy"], 0.7);
}

TEST_F(DataSets, LabelsWithoutTrainingImagesAreNamed) {
  const std::vector<std::uint8_t> images =
      idx_bytes({8, kSmallEdge, kSmallEdge}, std::vector<std::uint8_t>(8 * 144, 9));
  for (const char* part : {"train", "t10k"}) {
    folder_.write("one/" + std::string(part) + "-images-idx3-ubyte", images);
    folder_.write("one/" + std::string(part) + "-labels-idx1-ubyte",
                  idx_bytes({8}, std::vector<std::uint8_t>(8, 3)));
  }
  const Outcome outcome = train_on("one", {"--json", "--epochs", "1"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.err,
               "3 of 4 classes have no training image: 0, 1, 2; ONLY ONE LABEL IS LEFT");
  EXPECT_PRED2(contains, outcome.out, R"("labels_without_images":["0","1","2"])");
  EXPECT_EQ(
      trainer({"train", "--model", "learns.yaml", "--data", "data", "--no-save", "--epochs", "1", "--quiet"})
          .err,
      "warning: NOTHING IS SAVED (--no-save): no checkpoint, no model, no record of this run\n");
}

TEST_F(DataSets, OneClassIsNothingToLearn) {
  write_pictures("one", {"only"}, 1);
  const Outcome outcome = train_on("one", {});
  expect_one_line(outcome, 2);
  EXPECT_PRED2(contains, outcome.err, "only one class");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(DataSets, NormalisesByTheImagesThatAreTrainedOnWhereTheRecipeAsksForIt) {
  folder_.write("learns.yaml",
                small_network({.more_recipe = "  hold_out_first: 120\n  input: {normalize: data}\n"}));
  ASSERT_EQ(train_on("data", {}).code, 0);
  const SafetensorsFile file = SafetensorsFile::read(folder_ / "run/model.safetensors");
  const std::vector<std::uint8_t> images = read_bytes(folder_ / "data/train-images-idx3-ubyte");
  double sum = 0;
  double squares = 0;
  const std::size_t begin = 16 + 120 * kSmallEdge * kSmallEdge;  // of 200, without those that are held out
  const std::size_t end = images.size();
  for (std::size_t at = begin; at < end; ++at) {
    sum += images[at];
    squares += static_cast<double>(images[at]) * images[at];
  }
  const auto count = static_cast<double>(end - begin);
  const double deviation = std::sqrt(squares / count - sum / count * sum / count);
  const Json scaling = Json::parse(file.text("scaling"));
  EXPECT_NEAR(std::stod(scaling["scale"].get<std::string>()), 1 / deviation, 1e-6);
  EXPECT_NEAR(std::stod(scaling["shift"].get<std::string>()), -sum / count / deviation, 1e-5);
}

}  // namespace
}  // namespace trainer::test
