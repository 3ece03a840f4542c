// Four IDX files as one data set: names and prefixes, agreement of images and labels, class counts.
#include <filesystem>
#include <gtest/gtest.h>

#include "data/dataset.hpp"
#include "data/idx.hpp"
#include "tests/data/data_errors.hpp"
#include "tests/data/gzip_writer.hpp"
#include "tests/data/idx_files.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::gzip;
using test::idx_bytes;
using test::IdxSet;
using test::TemporaryFolder;
using Values = std::vector<std::uint8_t>;

class IdxDataset : public ::testing::Test {
 protected:
  std::string refusal(const fs::path& path, const LoadOptions& options = {}) {
    return error_of([&] { load_dataset(path, options); });
  }
  std::string refusal() { return refusal(folder.path()); }
  std::string at(const char* name) { return (folder / name).string(); }

  TemporaryFolder folder;
  IdxSet set;
};

TEST_F(IdxDataset, HasImagesLabelsShapeAndClasses) {
  set.write(folder, "tiny/");
  const Dataset loaded = load_dataset(folder / "tiny/");
  EXPECT_EQ(loaded.name, "tiny");
  EXPECT_EQ(loaded.shape, (Shape{3, 2, 1}));
  EXPECT_EQ(loaded.classes, 3);
  EXPECT_EQ(loaded.train.labels, set.train_labels);
  EXPECT_EQ(loaded.test.labels, set.test_labels);
  EXPECT_EQ(loaded.train.count(), 4u);
  EXPECT_EQ(Values(loaded.test.images.begin(), loaded.test.images.end()),
            (Values{0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6}));
  EXPECT_TRUE(loaded.label_names.empty());
  EXPECT_EQ(loaded.skipped_images, 0u);
}

TEST_F(IdxDataset, EitherSpellingPackedOrNotIsTheSameDataSet) {
  set.write(folder, "plain/");
  folder.write("other/train-images.idx3-ubyte", set.images(4));
  folder.write("other/train-labels.idx1-ubyte.gz", gzip(IdxSet::labels(set.train_labels)));
  folder.write("other/test-images-idx3-ubyte.gz", gzip(set.images(2)));
  folder.write("other/test-labels.idx1-ubyte", IdxSet::labels(set.test_labels));
  const Dataset plain = load_dataset(folder / "plain");
  const Dataset other = load_dataset(folder / "other");
  EXPECT_EQ(plain.train.images, other.train.images);
  EXPECT_EQ(plain.test.labels, other.test.labels);
  EXPECT_EQ(plain.fingerprint, other.fingerprint);
}

TEST_F(IdxDataset, PlainFileIsPreferredToThePackedOne) {
  set.write(folder);
  folder.write("train-labels-idx1-ubyte.gz", "not read");
  EXPECT_EQ(load_dataset(folder.path()).train.labels, set.train_labels);
}

TEST_F(IdxDataset, FolderOfTheSameNameAsAFileIsPassedOver) {
  set.write(folder);
  fs::rename(folder / "train-images-idx3-ubyte", folder / "train-images.idx3-ubyte");
  folder.write("train-images-idx3-ubyte/train-images-idx3-ubyte", "as some archives have it");
  EXPECT_EQ(load_dataset(folder.path()).train.count(), 4u);
}

TEST_F(IdxDataset, PrefixNamesOneOfSeveralSets) {
  set.write(folder, "emnist-digits-");
  set.write(folder, "._emnist-digits-");
  EXPECT_EQ(load_dataset(folder.path()).train.labels, set.train_labels);
  IdxSet letters = set;
  letters.train_labels = {1, 26};
  letters.write(folder, "emnist-letters-");
  const Dataset loaded = load_dataset(folder / "emnist-letters");
  EXPECT_EQ(loaded.name, "emnist-letters");
  EXPECT_EQ(loaded.classes, 27);
  EXPECT_EQ(refusal(), folder.path().string() + ": holds 2 data sets; name one of them: " +
                           at("emnist-digits") + ", " + at("emnist-letters"));
}

TEST_F(IdxDataset, QmnistAsItIsPublished) {
  set.write(folder, "qmnist-");
  const auto wide = [](const Values& labels) {
    Values bytes = idx_bytes({static_cast<std::uint32_t>(labels.size()), 2}, {});
    bytes[2] = 0x0c;
    for (const std::uint8_t label : labels) bytes.insert(bytes.end(), {0, 0, 0, label, 0, 0, 8, 52});
    return gzip(bytes);
  };
  folder.write("qmnist-train-labels-idx2-int.gz", wide(set.train_labels));
  folder.write("qmnist-test-labels-idx2-int.gz", wide(set.test_labels));
  for (const char* part : {"train", "t10k"})
    fs::remove(folder / ("qmnist-" + std::string(part) + "-labels-idx1-ubyte"));
  fs::rename(folder / "qmnist-t10k-images-idx3-ubyte", folder / "qmnist-test-images-idx3-ubyte");
  const Dataset loaded = load_dataset(folder.path());
  EXPECT_EQ(loaded.train.labels, set.train_labels);
  set.write(folder, "plain/");
  EXPECT_EQ(load_dataset(folder / "plain").fingerprint, loaded.fingerprint);
}

TEST_F(IdxDataset, RootOfTorchvisionIsEnoughForOneSet) {
  set.write(folder, "root/MNIST/raw/");
  for (const char* path : {"root", "root/MNIST", "root/MNIST/raw"}) {
    EXPECT_TRUE(holds_idx(folder / path)) << path;
    EXPECT_EQ(load_dataset(folder / path).train.labels, set.train_labels) << path;
  }
  set.write(folder, "root/KMNIST/raw/");
  set.write(folder, "root/EMNIST/raw/emnist-digits-");
  EXPECT_EQ(refusal(folder / "root"),
            at("root") + ": holds 3 data sets; name one of them: " + at("root/EMNIST/raw/emnist-digits") +
                ", " + at("root/KMNIST/raw") + ", " + at("root/MNIST/raw"));
}

TEST_F(IdxDataset, EmnistIsTransposedAndMayBePutUpright) {
  set.write(folder, "emnist-digits-");
  const Dataset as_stored = load_dataset(folder.path());
  EXPECT_TRUE(as_stored.is_transposed);
  Dataset upright = load_dataset(folder.path(), {.transpose = true});
  EXPECT_EQ(upright.shape, (Shape{2, 3, 1}));
  EXPECT_EQ(Values(upright.test.images.begin(), upright.test.images.end()),
            (Values{0, 2, 4, 1, 3, 5, 1, 3, 5, 2, 4, 6}));
  EXPECT_NE(upright.fingerprint, as_stored.fingerprint);
  transpose(upright);
  EXPECT_EQ(upright.train.images, as_stored.train.images);
  EXPECT_EQ(upright.fingerprint, as_stored.fingerprint);
  set.write(folder, "mnist/");
  EXPECT_FALSE(load_dataset(folder / "mnist").is_transposed);
}

TEST_F(IdxDataset, TransposingKeepsTheChannelsOfAPixelTogether) {
  set.write(folder);
  fs::remove(folder / "t10k-images-idx3-ubyte");
  fs::remove(folder / "train-images-idx3-ubyte");
  folder.write("train-images-idx4-ubyte", idx_bytes({4, 2, 1, 3}, Values(24)));
  folder.write("t10k-images-idx4-ubyte", idx_bytes({2, 2, 1, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  const Dataset loaded = load_dataset(folder.path(), {.transpose = true});
  EXPECT_EQ(loaded.shape, (Shape{1, 2, 3}));
  EXPECT_EQ(Values(loaded.test.images.begin(), loaded.test.images.end()),
            (Values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
}

TEST_F(IdxDataset, RelativePathOfTheWorkingFolder) {
  set.write(folder, "emnist-mnist-");
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  EXPECT_EQ(load_dataset("emnist-mnist").train.labels, set.train_labels);
  EXPECT_EQ(load_dataset(".").name, folder.path().filename().string());
  fs::current_path(before);
}

TEST_F(IdxDataset, FortySevenClassesAndAllOf256) {
  IdxSet balanced;
  balanced.train_labels.clear();
  for (int label = 0; label < 47; ++label) balanced.train_labels.push_back(static_cast<std::uint8_t>(label));
  balanced.write(folder, "balanced/");
  EXPECT_EQ(load_dataset(folder / "balanced").classes, 47);
  balanced.train_labels.push_back(255);
  balanced.write(folder, "bytes/");
  EXPECT_EQ(load_dataset(folder / "bytes").classes, 256);
}

TEST_F(IdxDataset, ClassesMayBeAskedFor) {
  set.write(folder);
  EXPECT_EQ(load_dataset(folder.path(), {.classes = 3}).classes, 3);
  EXPECT_EQ(load_dataset(folder.path(), {.classes = 47}).classes, 47);
  EXPECT_EQ(
      refusal(folder.path(), {.classes = 2}),
      at("train-labels-idx1-ubyte") + ": label 2 at position 2, but with --classes 2 labels go from 0 to 1");
  EXPECT_EQ(refusal(folder.path(), {.classes = 0}), "--classes 0: a data set has 1 to 256 classes");
  EXPECT_EQ(refusal(folder.path(), {.classes = 257}), "--classes 257: a data set has 1 to 256 classes");
}

TEST_F(IdxDataset, TestLabelUnknownToTraining) {
  set.test_labels = {0, 3};
  set.write(folder);
  EXPECT_EQ(refusal(),
            at("t10k-labels-idx1-ubyte") +
                ": label 3 at position 1 is not among the 3 classes of the training data (0 to 2)");
  EXPECT_EQ(load_dataset(folder.path(), {.classes = 4}).test.labels[1], 3);
}

TEST_F(IdxDataset, ImagesAndLabelsMustAgree) {
  set.write(folder);
  folder.write("t10k-labels-idx1-ubyte", IdxSet::labels({0, 1, 2}));
  EXPECT_EQ(refusal(), at("t10k-images-idx3-ubyte") + ": holds 2 images, but " +
                           at("t10k-labels-idx1-ubyte") + " holds 3 labels");
  folder.write("train-images-idx3-ubyte", set.images(5));
  EXPECT_EQ(refusal(), at("train-images-idx3-ubyte") + ": holds 5 images, but " +
                           at("train-labels-idx1-ubyte") + " holds 4 labels");
}

TEST_F(IdxDataset, TrainingAndTestImagesMustHaveOneShape) {
  set.write(folder);
  folder.write("t10k-images-idx3-ubyte", idx_bytes({2, 2, 3}, Values(12)));
  EXPECT_EQ(refusal(), at("t10k-images-idx3-ubyte") + ": images of 2x3x1, but those of " +
                           at("train-images-idx3-ubyte") + " are 3x2x1");
}

TEST_F(IdxDataset, ColourImagesKeepTheirChannels) {
  set.write(folder);
  EXPECT_EQ(refusal(folder.path(), {.channels = 3}),
            at("train-images-idx3-ubyte") +
                ": images of 1 channel, but --channels 3 was asked for; it is for folders of pictures");
  fs::remove(folder / "train-images-idx3-ubyte");
  folder.write("train-images-idx4-ubyte", idx_bytes({4, 3, 2, 3}, Values(72)));
  folder.write("t10k-images-idx3-ubyte", idx_bytes({2, 3, 2, 3}, Values(36)));
  EXPECT_EQ(load_dataset(folder.path()).shape, (Shape{3, 2, 3}));
}

TEST_F(IdxDataset, MissingFileListsTheNamesThatWereLookedFor) {
  set.write(folder);
  fs::remove(folder / "train-labels-idx1-ubyte");
  EXPECT_EQ(refusal(), folder.path().string() +
                           ": no file of training labels; looked for train-labels-idx1-ubyte, "
                           "train-labels-idx1-ubyte.gz, train-labels.idx1-ubyte, train-labels.idx1-ubyte.gz, "
                           "train-labels-idx2-int, train-labels-idx2-int.gz, train-labels.idx2-int, "
                           "train-labels.idx2-int.gz");
}

TEST_F(IdxDataset, DamageIsReportedWithTheFile) {
  set.write(folder);
  const std::vector<const char*> names{"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                       "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
  for (const char* name : names) {
    const Values before = test::read_bytes(folder / name);
    folder.write(name, Values(before.begin(), before.end() - 1));
    const std::string message = refusal();
    EXPECT_TRUE(message.starts_with(at(name) + ": too short: ")) << message;
    folder.write(name, before);
  }
}

TEST_F(IdxDataset, FingerprintIsOfContentsAndShape) {
  const auto fingerprint_of = [&](const IdxSet& changed, const char* name) {
    changed.write(folder, name);
    return load_dataset((folder / name)).fingerprint;
  };
  const std::string original = fingerprint_of(set, "a/");
  EXPECT_EQ(original.size(), std::string("crc32:00000000-00000000-00000000-00000000").size());
  EXPECT_EQ(fingerprint_of(set, "b/"), original);
  IdxSet changed = set;
  std::swap(changed.height, changed.width);
  EXPECT_NE(fingerprint_of(changed, "c/"), original);
  changed = set;
  changed.test_labels = {2, 1};
  const std::string other = fingerprint_of(changed, "d/");
  EXPECT_EQ(other.substr(0, 32), original.substr(0, 32));
  EXPECT_NE(other.substr(33), original.substr(33));
}

}  // namespace
}  // namespace trainer::data
