// Which data sets have MNIST's form.
#include <algorithm>
#include <gtest/gtest.h>

#include "data/image.hpp"

namespace trainer::data {
namespace {

using Values = std::vector<std::uint8_t>;

Dataset load(const std::string& folder) {
  return load_dataset(folder);
}

bool has_form(const Values& images, const Shape& shape = {28, 28, 1}) {
  return have_digit_form(images, shape);
}

// An image of 28 x 28 with a bar of `height` x 8 pixels whose corner is at (top, left).
Values bar(int height, int top, int left) {
  Values image(784);
  for (int y = top; y < top + height; ++y) {
    for (int x = left; x < left + 8; ++x) image[static_cast<std::size_t>(y * 28 + x)] = 255;
  }
  return image;
}

TEST(DigitForm, MnistHasItInBothSplitsAndInAnyPart) {
  const Dataset mnist = load(TRAINER_SOURCE_DIR "/data/mnist");
  EXPECT_EQ(mnist.fingerprint, kMnistFingerprint);
  EXPECT_TRUE(have_digit_form(mnist.train.images, mnist.shape));
  EXPECT_TRUE(have_digit_form(mnist.test.images, mnist.shape));
  EXPECT_TRUE(have_digit_form(std::span(mnist.train.images).first(784), mnist.shape));
  Values dark(mnist.test.images.begin(), mnist.test.images.end());
  for (std::uint8_t& pixel : dark) pixel = static_cast<std::uint8_t>(255 - pixel);
  EXPECT_FALSE(has_form(dark));
}

TEST(DigitForm, FashionMnistHasNone) {
  const char* folder = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(folder))
    GTEST_SKIP() << "no " << folder << "; apt-get install dataset-fashion-mnist";
  const Dataset fashion = load(folder);
  EXPECT_FALSE(have_digit_form(fashion.train.images, fashion.shape));
}

TEST(DigitForm, ColourHasNone) {
  Values colour;
  for (const std::uint8_t value : bar(20, 4, 10)) colour.insert(colour.end(), 3, value);
  EXPECT_FALSE(has_form(colour, {28, 28, 3}));
}

TEST(DigitForm, SizeAndPlaceDecide) {
  EXPECT_TRUE(has_form(bar(20, 4, 10)));
  EXPECT_TRUE(has_form(bar(20, 5, 11)));
  EXPECT_FALSE(has_form(bar(20, 1, 10)));
  EXPECT_FALSE(has_form(bar(20, 4, 5)));
  EXPECT_FALSE(has_form(bar(26, 1, 10)));
  EXPECT_FALSE(has_form(bar(12, 8, 10)));
}

TEST(DigitForm, OneImageInTenMayBeOtherwise) {
  Values images;
  for (int i = 0; i < 18; ++i) {
    const Values image = bar(20, 4, 10);
    images.insert(images.end(), image.begin(), image.end());
  }
  images.resize(images.size() + 2 * 784, 0);
  EXPECT_TRUE(has_form(images));
  images.resize(images.size() + 784, 0);
  EXPECT_FALSE(has_form(images));
}

TEST(DigitForm, EmptyOrFullImagesHaveNone) {
  EXPECT_FALSE(has_form({}));
  EXPECT_FALSE(has_form(Values(784, 0)));
  EXPECT_FALSE(has_form(Values(784, 255)));
  EXPECT_FALSE(has_form(Values(1, 255), {1, 1, 1}));
}

}  // namespace
}  // namespace trainer::data
