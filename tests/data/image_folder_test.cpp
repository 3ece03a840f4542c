// Folders of pictures as data sets: order of labels and files, sizes, channels, broken pictures.
#include <filesystem>
#include <gtest/gtest.h>

#include "data/image.hpp"
#include "tests/data/bmp_writer.hpp"
#include "tests/data/data_errors.hpp"
#include "tests/data/idx_files.hpp"
#include "tests/data/png_writer.hpp"
#include "tests/support/temporary_folder.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;
using test::encode_bmp;
using test::encode_png;
using test::error_of;
using test::TemporaryFolder;
using Values = std::vector<std::uint8_t>;
using Names = std::vector<std::string>;

// A grey picture, 2 high and 3 wide, of one brightness.
Values grey(std::uint8_t value, int height = 2, int width = 3) {
  return encode_png({height, width, 1, Values(static_cast<std::size_t>(height * width), value)});
}

class PictureFolder : public ::testing::Test {
 protected:
  std::string refusal(const LoadOptions& options = {}) {
    return error_of([&] { load_dataset(folder.path(), options); });
  }
  std::string at(const char* name) { return (folder / name).string(); }
  void write_cats_and_dogs() {
    folder.write("train/cat/1.png", grey(1));
    folder.write("train/cat/2.png", grey(2));
    folder.write("train/dog/1.png", grey(3));
    folder.write("test/dog/1.png", grey(4));
  }

  TemporaryFolder folder;
};

// The brightness of each image of a split.
Values brightness(const Split& split) {
  Values values;
  for (std::size_t i = 0; i < split.images.size(); i += 6) values.push_back(split.images[i]);
  return values;
}

TEST_F(PictureFolder, LabelsAreSortedFoldersOfTrain) {
  write_cats_and_dogs();
  const Dataset loaded = load_dataset(folder.path());
  EXPECT_EQ(loaded.label_names, (Names{"cat", "dog"}));
  EXPECT_EQ(loaded.classes, 2);
  EXPECT_EQ(loaded.shape, (Shape{2, 3, 1}));
  EXPECT_EQ(loaded.train.labels, (Values{0, 0, 1}));
  EXPECT_EQ(brightness(loaded.train), (Values{1, 2, 3}));
  EXPECT_EQ(loaded.test.labels, (Values{1}));
  EXPECT_EQ(brightness(loaded.test), (Values{4}));
  EXPECT_EQ(loaded.name, folder.path().filename().string());
}

TEST_F(PictureFolder, NumbersAreSortedAsNumbersAndNamesAsText) {
  for (const char* label : {"0", "2", "10", "007"}) {
    folder.write(fs::path("train") / label / "a.png", grey(1));
  }
  folder.write("test/10/a.png", grey(1));
  EXPECT_EQ(load_dataset(folder.path()).label_names, (Names{"0", "2", "007", "10"}));
  folder.write("train/x/a.png", grey(1));
  EXPECT_EQ(load_dataset(folder.path()).label_names, (Names{"0", "007", "10", "2", "x"}));
}

TEST_F(PictureFolder, EveryExtensionCountsAndOtherFilesDoNot) {
  folder.write("train/a/1.PNG", grey(1));
  folder.write("train/a/2.Bmp", encode_bmp({2, 3, 3, Values(18, 2)}));
  folder.write("train/a/3.jpeg", grey(3));  // the contents decide how it is decoded
  folder.write("train/a/4.jpg", grey(4));
  folder.write("train/a/notes.txt", "no picture");
  folder.write("train/a/.5.png", "hidden");
  folder.write("train/a/inner/6.png", "deeper");
  folder.write("train/.hidden/7.png", "hidden");
  folder.write("train/readme", "beside the labels");
  folder.write("test/a/1.png", grey(5));
  const Dataset loaded = load_dataset(folder.path());
  EXPECT_EQ(loaded.label_names, (Names{"a"}));
  EXPECT_EQ(brightness(loaded.train), (Values{1, 2, 3, 4}));
}

TEST_F(PictureFolder, GreyUnlessThreeChannelsAreAskedFor) {
  const Image red{1, 1, 3, {255, 0, 0}};
  folder.write("train/a/1.png", encode_png(red));
  folder.write("test/a/1.png", encode_png({1, 1, 1, {9}}));
  const Dataset as_grey = load_dataset(folder.path());
  EXPECT_EQ(as_grey.shape.c, 1);
  EXPECT_EQ(as_grey.train.images[0], 76);
  const Dataset as_colour = load_dataset(folder.path(), {.channels = 3});
  EXPECT_EQ(as_colour.shape, (Shape{1, 1, 3}));
  EXPECT_EQ(Values(as_colour.train.images.begin(), as_colour.train.images.end()), red.pixels);
  EXPECT_EQ(Values(as_colour.test.images.begin(), as_colour.test.images.end()), (Values{9, 9, 9}));
  EXPECT_EQ(refusal({.channels = 2}), "--channels 2: images have 1 (grey) or 3 (colour)");
}

TEST_F(PictureFolder, SameImagesInTheSameOrderHaveTheFingerprintOfTheIdxFiles) {
  test::IdxSet set;
  set.train_labels = {0, 0, 1, 2};
  set.test_labels = {1, 2};
  set.write(folder, "idx/");
  const Dataset idx = load_dataset(folder / "idx");
  const auto write = [&](const char* name, const Split& split) {
    for (std::size_t i = 0; i < split.count(); ++i) {
      const auto begin = split.images.begin() + static_cast<std::ptrdiff_t>(6 * i);
      const Image image{3, 2, 1, Values(begin, begin + 6)};
      const std::string label = std::to_string(split.labels[i]);
      folder.write(fs::path("pictures") / name / label / (std::to_string(i) + ".png"), encode_png(image));
    }
  };
  write("train", idx.train);
  write("test", idx.test);
  EXPECT_EQ(load_dataset(folder / "pictures").fingerprint, idx.fingerprint);
}

TEST_F(PictureFolder, AllPicturesMustHaveOneSize) {
  write_cats_and_dogs();
  folder.write("test/dog/0.png", grey(1, 3, 2));
  EXPECT_EQ(refusal(), at("test/dog/0.png") + ": a picture of 3x2 pixels, but " + at("train/cat/1.png") +
                           " has 2x3; all must have one size");
}

TEST_F(PictureFolder, TheRarestSizeIsNamedThoughItIsReadFirst) {
  write_cats_and_dogs();
  folder.write("train/cat/0.png", grey(1, 3, 2));
  EXPECT_EQ(refusal(), at("train/cat/0.png") + ": a picture of 3x2 pixels, but " + at("train/cat/1.png") +
                           " has 2x3; all must have one size");
}

TEST_F(PictureFolder, WhatArchiversAndDisksLeaveBehindIsNoLabel) {
  write_cats_and_dogs();
  const std::string before = load_dataset(folder.path()).fingerprint;
  for (const char* left :
       {"__MACOSX/train/cat/._1.png", "train/__MACOSX/cat/1.png", "train/@eaDir/1.png/thumb.png",
        "test/@eaDir/1.png", "train/.ipynb_checkpoints/1.png", "train/$RECYCLE.BIN/1.png",
        "train/cat/@eaDir/1.png", "train/cat/Thumbs.db", "train/.DS_Store", "test/desktop.ini"})
    folder.write(left, "junk");
  fs::create_directories(folder / "train/lost+found");
  EXPECT_EQ(load_dataset(folder.path()).fingerprint, before);
}

TEST_F(PictureFolder, SplitsHaveSeveralUsualNames) {
  write_cats_and_dogs();
  const std::string before = load_dataset(folder.path()).fingerprint;
  fs::rename(folder / "train", folder / "Training");
  fs::rename(folder / "test", folder / "testing");
  EXPECT_EQ(load_dataset(folder.path()).fingerprint, before);
  folder.write("train/cat/1.png", grey(1));
  EXPECT_EQ(refusal(), folder.path().string() + ": holds both Training/ and train/; keep one of them");
}

TEST_F(PictureFolder, ValidationIsAtTheEndOfTraining) {
  for (const char* name : {"val", "valid", "Validation"}) {
    fs::remove_all(folder.path());
    write_cats_and_dogs();
    const std::string before = load_dataset(folder.path()).fingerprint;
    folder.write(fs::path(name) / "cat/1.png", grey(8));
    folder.write(fs::path(name) / "dog/1.png", grey(9));
    const Dataset loaded = load_dataset(folder.path());
    EXPECT_EQ(loaded.validation_images, 2U) << name;
    EXPECT_EQ(brightness(loaded.train), (Values{1, 2, 3, 8, 9})) << name;
    EXPECT_EQ(loaded.train.labels, (Values{0, 0, 1, 0, 1})) << name;
    EXPECT_EQ(brightness(loaded.test), (Values{4})) << name;
    EXPECT_TRUE(loaded.fingerprint.ends_with("-2")) << "not that of a set which trains on all five";
    EXPECT_NE(loaded.fingerprint.substr(0, 20), before.substr(0, 20));
  }
}

TEST_F(PictureFolder, ValidationWithoutPicturesIsNone) {
  write_cats_and_dogs();
  const std::string before = load_dataset(folder.path()).fingerprint;
  fs::create_directories(folder / "val");
  EXPECT_EQ(load_dataset(folder.path()).fingerprint, before);
  fs::create_directories(folder / "val/cat");
  folder.write("val/@eaDir/1.png", "junk");
  folder.write("val/notes.txt", "none yet");
  EXPECT_EQ(load_dataset(folder.path()).fingerprint, before);
  folder.write("val/1.png", grey(8));
  EXPECT_TRUE(refusal().starts_with(at("val"))) << "a picture without a label: " << refusal();
}

TEST_F(PictureFolder, ValidationCanBeLeftOut) {
  write_cats_and_dogs();
  const std::string before = load_dataset(folder.path()).fingerprint;
  folder.write("val/emu/1.png", grey(8));
  EXPECT_EQ(refusal(), at("val/emu") +
                           ": label emu has no training pictures; the labels are cat, dog; trainer "
                           "train --validation 0 ignores it");
  EXPECT_EQ(load_dataset(folder.path(), {.validation = false}).fingerprint, before);
}

TEST_F(PictureFolder, LabelsOfANetworkGoByName) {
  folder.write("test/dog/1.png", grey(4));
  const LoadOptions network{.classes = 3, .label_names = {"cat", "dog", "emu"}};
  const Dataset alone = load_dataset(folder.path(), network);
  EXPECT_EQ(alone.test.labels, (Values{1}));
  EXPECT_EQ(alone.train.count(), 0U);
  EXPECT_EQ(alone.classes, 3);
  write_cats_and_dogs();
  folder.write("test/ape/1.png", grey(5));
  const Dataset with_another = load_dataset(folder.path(), network);
  EXPECT_EQ(with_another.label_names, (Names{"cat", "dog", "emu", "ape"}));
  EXPECT_EQ(with_another.train.labels, (Values{0, 0, 1}));
  EXPECT_EQ(with_another.test.labels, (Values{3, 1}));
  EXPECT_EQ(with_another.classes, 4);
}

TEST_F(PictureFolder, LabelThatIsNotUtf8IsShownEscaped) {
  write_cats_and_dogs();
  for (const char* split : {"train", "test"}) {
    for (const char* name : {"f\xfcnf", "f\\xfcnf", "\x1b[1m", "fünf"})
      folder.write(fs::path(split) / name / "1.png", grey(7));
  }
  const Dataset loaded = load_dataset(folder.path());
  EXPECT_EQ(loaded.label_names, (Names{"\\x1b[1m", "cat", "dog", "f\\\\xfcnf", "fünf", "f\\xfcnf"}));
  EXPECT_EQ(loaded.test.labels, (Values{0, 2, 3, 4, 5}));
}

TEST_F(PictureFolder, BrokenPictureIsAnErrorUnlessSkippedAndCounted) {
  write_cats_and_dogs();
  folder.write("train/cat/0.png", "not a picture");
  Values damaged = grey(7);
  damaged[45] ^= 1;
  folder.write("test/dog/2.png", damaged);
  EXPECT_HAS(refusal(), at("train/cat/0.png") + ": not a PNG, JPEG or BMP picture");
  const Dataset loaded = load_dataset(folder.path(), {.skip_bad_images = true});
  EXPECT_EQ(loaded.skipped_images, 2u);
  EXPECT_EQ(brightness(loaded.train), (Values{1, 2, 3}));
  EXPECT_EQ(brightness(loaded.test), (Values{4}));
}

TEST_F(PictureFolder, NothingLeftAfterSkippingIsAnError) {
  write_cats_and_dogs();
  folder.write("test/dog/1.png", "not a picture");
  EXPECT_EQ(refusal({.skip_bad_images = true}),
            at("test") + ": no picture could be read; all 1 were skipped as broken");
}

TEST_F(PictureFolder, TestLabelWithoutTrainingPictures) {
  write_cats_and_dogs();
  folder.write("test/emu/1.png", grey(1));
  EXPECT_EQ(refusal(), at("test/emu") + ": label emu has no training pictures; the labels are cat, dog");
}

TEST_F(PictureFolder, LabelWithoutPictures) {
  write_cats_and_dogs();
  folder.write("train/emu/notes.txt", "none yet");
  EXPECT_EQ(refusal(), at("train/emu") + ": holds no pictures; looked for *.png, *.jpg, *.jpeg and *.bmp");
}

TEST_F(PictureFolder, SplitWithoutLabelsOrMissing) {
  write_cats_and_dogs();
  fs::remove_all(folder / "test");
  EXPECT_EQ(refusal(),
            at("test") + ": no such folder; a data set of pictures has train/LABEL/ and test/LABEL/");
  folder.write("test/1.png", grey(1));
  EXPECT_EQ(refusal(), at("test") + ": holds no folders; each label is a folder of pictures");
}

TEST_F(PictureFolder, ClassesMayBeAskedFor) {
  write_cats_and_dogs();
  EXPECT_EQ(refusal({.classes = 1}), at("train") + ": holds 2 labels, but --classes allows 1");
  const Dataset loaded = load_dataset(folder.path(), {.classes = 4});
  EXPECT_EQ(loaded.classes, 4);
  EXPECT_EQ(loaded.label_names, (Names{"cat", "dog", "2", "3"}));
}

TEST_F(PictureFolder, MoreThan256LabelsAreRefused) {
  for (int label = 0; label < 257; ++label) {
    fs::create_directories(folder / "train" / std::to_string(label));
  }
  folder.write("test/0/1.png", grey(1));
  EXPECT_EQ(refusal(), at("train") + ": holds 257 labels, but a data set can have 256");
}

}  // namespace
}  // namespace trainer::data
