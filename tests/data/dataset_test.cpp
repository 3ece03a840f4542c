// Whole data sets: the MNIST that is shipped, Fashion-MNIST as Debian packages it, pixel statistics, and the
// places where a data set is looked for.
#include "data/dataset.hpp"

#include <array>
#include <filesystem>
#include <gtest/gtest.h>

#include "tests/data/data_errors.hpp"
#include "tests/data/idx_files.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::IdxSet;
using test::TemporaryFolder;

const fs::path kMnist = fs::path(TRAINER_SOURCE_DIR) / "data/mnist";

std::array<int, 10> histogram(const Split& split) {
  std::array<int, 10> counts{};
  for (const std::uint8_t label : split.labels) ++counts.at(label);
  return counts;
}

TEST(ShippedMnist, IsMnist) {
  const Dataset mnist = load_dataset(kMnist);
  EXPECT_EQ(mnist.name, "mnist");
  EXPECT_EQ(mnist.shape, (Shape{28, 28, 1}));
  EXPECT_EQ(mnist.classes, 10);
  EXPECT_EQ(mnist.train.count(), 60000u);
  EXPECT_EQ(mnist.train.images.size(), 60000u * 28 * 28);
  EXPECT_EQ(mnist.test.count(), 10000u);
  EXPECT_EQ(mnist.test.images.size(), 10000u * 28 * 28);
  EXPECT_EQ(histogram(mnist.train), (std::array{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}));
  EXPECT_EQ(histogram(mnist.test), (std::array{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}));
  EXPECT_EQ(mnist.fingerprint, "crc32:e9f4d8b3-e0cb4ad2-91373bdf-4ab9eff9");
}

TEST(ShippedMnist, HasThePublishedMeanAndDeviation) {
  const PixelStatistics statistics = pixel_statistics(load_dataset(kMnist).train.images);
  EXPECT_NEAR(statistics.mean, 0.1307, 0.00005);
  EXPECT_NEAR(statistics.deviation, 0.3081, 0.00005);
}

TEST(FashionMnist, LoadsAsDebianShipsIt) {
  const fs::path folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder << "; apt-get install dataset-fashion-mnist";
  const Dataset fashion = load_dataset(folder);
  EXPECT_EQ(fashion.name, "fashion-mnist");
  EXPECT_EQ(fashion.shape, (Shape{28, 28, 1}));
  EXPECT_EQ(fashion.classes, 10);
  std::array<int, 10> each{};
  each.fill(6000);
  EXPECT_EQ(histogram(fashion.train), each);
  each.fill(1000);
  EXPECT_EQ(histogram(fashion.test), each);
  const PixelStatistics statistics = pixel_statistics(fashion.train.images);
  EXPECT_NEAR(statistics.mean, 0.2860, 0.00005);
  EXPECT_NEAR(statistics.deviation, 0.3530, 0.00005);
}

TEST(PixelStatistics, AreOfAllPixelsAsFractions) {
  Split split;
  split.images = {0, 255, 255, 0, 51};
  const PixelStatistics statistics = pixel_statistics(split.images);
  EXPECT_DOUBLE_EQ(statistics.mean, 2.2 / 5);
  EXPECT_NEAR(statistics.deviation, 0.4630334761, 1e-9);
}

TEST(PixelStatistics, NothingToDivideByIsAnError) {
  Split split;
  split.images = {7, 7, 7};
  EXPECT_EQ(error_of([&] { pixel_statistics(split.images); }),
            "normalize: data: all 3 pixels are the same, so that their deviation is 0");
  split.images.clear();
  EXPECT_HAS(error_of([&] { pixel_statistics(split.images); }), "all 0 pixels");
}

TEST(LoadDataset, SaysWhatWasLookedFor) {
  const TemporaryFolder folder;
  const std::string path = folder.path().string();
  EXPECT_EQ(
      error_of([&] { load_dataset(folder.path()); }),
      path +
          ": no data set here; looked for IDX files (train-images-idx3-ubyte[.gz] and the like) and for "
          "folders of pictures (train/LABEL/*.png, test/LABEL/*.png)");
  EXPECT_EQ(error_of([&] { load_dataset(folder / "absent"); }),
            path + "/absent: does not exist; a data set is a folder of IDX files or of pictures");
  const fs::path file = folder.write("file", "text");
  EXPECT_EQ(error_of([&] { load_dataset(file); }),
            path + "/file: is not a folder; name the folder that holds the data set's files");
  EXPECT_HAS(error_of([&] { load_dataset(file / "below"); }), path + "/file/below: ");
}

class SearchForData : public ::testing::Test {
 protected:
  TemporaryFolder folder;
  SearchPlaces places{.executable = folder / "build/cpu/trainer/trainer"};
};

TEST_F(SearchForData, GivenPathIsTakenOrRefused) {
  IdxSet{}.write(folder, "data/mnist/");
  IdxSet{}.write(folder, "sets/emnist-digits-");
  fs::create_directories(folder / "here");
  places.environment = (folder / "absent").string();
  places.given = folder / "here";
  EXPECT_EQ(find_data(places), folder / "here");
  places.given = folder / "sets/emnist-digits";
  EXPECT_EQ(find_data(places), folder / "sets/emnist-digits");
  places.given = folder / "elsewhere";
  EXPECT_EQ(error_of([&] { find_data(places); }),
            (folder / "elsewhere").string() +
                ": no such data set (--data): name a folder of IDX files or of pictures");
}

TEST_F(SearchForData, EnvironmentIsTakenOrRefused) {
  IdxSet{}.write(folder, "data/mnist/");
  places.environment = folder.path().string();
  EXPECT_EQ(find_data(places), folder.path());
  places.environment = (folder / "absent").string();
  EXPECT_EQ(error_of([&] { find_data(places); }),
            (folder / "absent").string() +
                ": no such data set (environment variable TRAINER_DATA): name a folder of IDX files or of "
                "pictures");
  places.environment = "";
  EXPECT_EQ(find_data(places), folder / "data/mnist");
}

TEST_F(SearchForData, SourceTreeAboveTheBuildFolder) {
  IdxSet{}.write(folder, "data/mnist/");
  EXPECT_EQ(find_data(places), folder / "data/mnist");
  places.executable = folder / "build/trainer/trainer";
  EXPECT_EQ(find_data(places), folder / "data/mnist");
}

TEST_F(SearchForData, InstallationBesideTheProgram) {
  IdxSet{}.write(folder, "share/mnist-trainer/mnist/");
  places.executable = folder / "bin/trainer";
  EXPECT_EQ(find_data(places), folder / "share/mnist-trainer/mnist");
}

TEST_F(SearchForData, CompiledInPathsComeLast) {
  IdxSet{}.write(folder, "installed/");
  places.compiled_in = {folder / "absent", folder / "installed"};
  EXPECT_EQ(find_data(places), folder / "installed");
  IdxSet{}.write(folder, "data/mnist/");
  EXPECT_EQ(find_data(places), folder / "data/mnist");
}

TEST_F(SearchForData, NothingFoundListsEveryPlace) {
  places.compiled_in = {"/nowhere/mnist"};
  const std::string message = error_of([&] { find_data(places); });
  EXPECT_HAS(message, "MNIST was not found; name its folder with --data or TRAINER_DATA");
  for (const char* place : {"build/cpu/trainer/data/mnist", "build/cpu/share/mnist-trainer/mnist",
                            "build/data/mnist", "data/mnist"}) {
    EXPECT_HAS(message, (folder / place).string());
  }
  EXPECT_HAS(message, "/nowhere/mnist");
}

}  // namespace
}  // namespace trainer::data
