// Fitting pictures of digits: images of MNIST's test set come out as they went in, however they were
// rendered, and drawn shapes come out in MNIST's frame.
#include "trainer/infer/digit.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>

#include "data/dataset.hpp"
#include "tests/emulator/sanitizer.hpp"
#include "trainer/infer/resample.hpp"

namespace trainer {
namespace {

constexpr int kEdge = 28;
using Bytes = std::vector<std::uint8_t>;

Bytes fit_digit(const data::Image& picture, int height, int width) {
  return fit_digits(picture, height, width).at(0).image;
}

data::Image grey_image(int height, int width, std::uint8_t value) {
  return {height, width, 1, Bytes(static_cast<std::size_t>(height) * static_cast<std::size_t>(width), value)};
}

std::uint8_t& pixel(data::Image& image, int y, int x, int channel = 0) {
  return image.pixels[static_cast<std::size_t>((y * image.width + x) * image.channels + channel)];
}

int at(const Bytes& image, int y, int x) {
  y = std::clamp(y, 0, kEdge - 1);
  x = std::clamp(x, 0, kEdge - 1);
  return image[static_cast<std::size_t>(y * kEdge + x)];
}

enum class Rendering { kNearest, kLinear };

data::Image render(const Bytes& digit, int edge, Rendering rendering) {
  data::Image image = grey_image(edge, edge, 0);
  for (int y = 0; y < edge; ++y)
    for (int x = 0; x < edge; ++x) {
      const double v = (y + 0.5) * kEdge / edge - 0.5;
      const double h = (x + 0.5) * kEdge / edge - 0.5;
      if (rendering == Rendering::kNearest) {
        pixel(image, y, x) = static_cast<std::uint8_t>(
            at(digit, static_cast<int>(std::floor(v + 0.5)), static_cast<int>(std::floor(h + 0.5))));
        continue;
      }
      const int top = static_cast<int>(std::floor(v));
      const int left = static_cast<int>(std::floor(h));
      const double upper = at(digit, top, left) * (left + 1 - h) + at(digit, top, left + 1) * (h - left);
      const double lower =
          at(digit, top + 1, left) * (left + 1 - h) + at(digit, top + 1, left + 1) * (h - left);
      pixel(image, y, x) = static_cast<std::uint8_t>(std::lround(upper * (top + 1 - v) + lower * (v - top)));
    }
  return image;
}

void invert(data::Image& image) {
  for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(255 - value);
}

// Mean difference in grey levels, over the pixels that are ink in either.
double ink_difference(const Bytes& a, const Bytes& b) {
  double sum = 0;
  int count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == 0 && b[i] == 0) continue;
    sum += std::abs(a[i] - b[i]);
    ++count;
  }
  return sum / std::max(1, count);
}

struct Box {
  int top = kEdge;
  int left = kEdge;
  int bottom = -1;
  int right = -1;
  double centre_y = 0;
  double centre_x = 0;
};

Box box_of(const Bytes& image) {
  Box box;
  double mass = 0;
  for (int y = 0; y < kEdge; ++y)
    for (int x = 0; x < kEdge; ++x) {
      const int value = at(image, y, x);
      mass += value;
      box.centre_y += value * (y + 0.5);
      box.centre_x += value * (x + 0.5);
      if (value < 128) continue;
      box.top = std::min(box.top, y);
      box.left = std::min(box.left, x);
      box.bottom = std::max(box.bottom, y);
      box.right = std::max(box.right, x);
    }
  box.centre_y /= mass;
  box.centre_x /= mass;
  return box;
}

class MnistDigits : public testing::Test {
 protected:
  // Under the sanitizers a tenth of the digits reaches the same lines.
  static constexpr std::size_t kCount = emulator::kAddressSanitizer ? 20 : 200;
  static constexpr std::size_t kSome = emulator::kAddressSanitizer ? 6 : 60;

  static void SetUpTestSuite() {
    const data::Dataset mnist = data::load_dataset(std::string(TRAINER_SOURCE_DIR) + "/data/mnist");
    const std::size_t bytes = mnist.shape.size();
    for (std::size_t i = 0; i < kCount; ++i)
      digits_.emplace_back(mnist.test.images.begin() + static_cast<std::ptrdiff_t>(i * bytes),
                           mnist.test.images.begin() + static_cast<std::ptrdiff_t>((i + 1) * bytes));
  }
  static void TearDownTestSuite() { digits_.clear(); }

  static std::vector<Bytes> digits_;
};
std::vector<Bytes> MnistDigits::digits_;

TEST_F(MnistDigits, ComeOutAsTheyWentIn) {
  for (const Bytes& digit : digits_) {
    data::Image image{kEdge, kEdge, 1, digit};
    const Bytes fitted = fit_digit(image, kEdge, kEdge);
    for (std::size_t i = 0; i < digit.size(); ++i) ASSERT_NEAR(fitted[i], digit[i], 1);
    invert(image);
    const Bytes inverted = fit_digit(image, kEdge, kEdge);
    for (std::size_t i = 0; i < digit.size(); ++i) ASSERT_NEAR(inverted[i], digit[i], 1);
  }
}

TEST_F(MnistDigits, SurviveBeingRenderedLargerAndInverted) {
  for (const Rendering rendering : {Rendering::kNearest, Rendering::kLinear})
    for (const int edge : {37, 56, 100, 224}) {
      double sum = 0;
      const std::size_t count = edge > 100 ? kSome / 3 : kSome;
      for (std::size_t i = 0; i < count; ++i) {
        data::Image image = render(digits_[i], edge, rendering);
        if (i % 2 == 1) invert(image);
        sum += ink_difference(fit_digit(image, kEdge, kEdge), digits_[i]);
      }
      EXPECT_LT(sum / static_cast<double>(count), 1.0)
          << "edge " << edge << (rendering == Rendering::kLinear ? ", linear" : "");
    }
}

TEST_F(MnistDigits, AreFoundAnywhereOnALargerPicture) {
  for (std::size_t i = 0; i < kSome; ++i) {
    data::Image image = grey_image(60, 90, 255);
    for (int y = 0; y < kEdge; ++y)
      for (int x = 0; x < kEdge; ++x)
        pixel(image, y + 30, x + 3) = static_cast<std::uint8_t>(255 - at(digits_[i], y, x));
    ASSERT_LT(ink_difference(fit_digit(image, kEdge, kEdge), digits_[i]), 1.0) << "image " << i;
  }
}

TEST_F(MnistDigits, SurviveNoiseAndGreyBackgrounds) {
  unsigned state = 1;
  double sum = 0;
  for (std::size_t i = 0; i < kSome; ++i) {
    data::Image image = render(digits_[i], 112, Rendering::kNearest);
    for (std::uint8_t& value : image.pixels) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<std::uint8_t>(60 + value / 2 + static_cast<int>(state >> 28U) - 8);
    }
    sum += ink_difference(fit_digit(image, kEdge, kEdge), digits_[i]);
  }
  EXPECT_LT(sum / static_cast<double>(kSome), 12.0);
}

TEST(FitDigit, PutsAShapeIntoTwentyPixelsAndItsMassIntoTheMiddle) {
  data::Image image = grey_image(300, 400, 250);
  for (int y = 40; y < 240; ++y)
    for (int x = 300; x < 340; ++x) pixel(image, y, x) = 10;
  const Bytes fitted = fit_digit(image, kEdge, kEdge);
  const Box box = box_of(fitted);
  EXPECT_EQ(box.bottom - box.top + 1, 20);
  EXPECT_EQ(box.right - box.left + 1, 4);
  EXPECT_NEAR(box.centre_y, 14.5, 0.51);
  EXPECT_NEAR(box.centre_x, 14.5, 0.51);
  EXPECT_EQ(at(fitted, 14, 14), 255);
  EXPECT_EQ(at(fitted, 0, 0), 0);
}

TEST(FitDigit, SeesColourByItsLightness) {
  data::Image image{100, 100, 3, Bytes(30'000, 255)};
  for (int y = 30; y < 70; ++y)
    for (int x = 40; x < 50; ++x) pixel(image, y, x, 1) = pixel(image, y, x, 2) = 0;
  const Box box = box_of(fit_digit(image, kEdge, kEdge));
  EXPECT_EQ(box.bottom - box.top + 1, 20);
}

TEST(FitDigit, IgnoresASpeck) {
  data::Image image = grey_image(280, 280, 0);
  for (int y = 60; y < 160; ++y)
    for (int x = 60; x < 100; ++x) pixel(image, y, x) = 255;
  pixel(image, 270, 270) = 255;
  const Box box = box_of(fit_digit(image, kEdge, kEdge));
  EXPECT_EQ(box.bottom - box.top + 1, 20);
}

TEST(FitDigit, KeepsTheBoxInsideWhereTheMassIsAtItsEnd) {
  data::Image image = grey_image(100, 100, 0);
  for (int y = 47; y < 53; ++y)
    for (int x = 20; x < 80; ++x) pixel(image, y, x) = 255;
  for (int y = 20; y < 80; ++y)
    for (int x = 70; x < 80; ++x) pixel(image, y, x) = 255;
  const Bytes fitted = fit_digit(image, kEdge, kEdge);
  const Box box = box_of(fitted);
  EXPECT_EQ(box.right - box.left + 1, 20);
}

TEST(FitDigit, EnlargesASmallPicture) {
  data::Image image = grey_image(9, 6, 255);
  for (int y = 2; y < 7; ++y) pixel(image, y, 3) = 0;
  const Box box = box_of(fit_digit(image, kEdge, kEdge));
  EXPECT_EQ(box.bottom - box.top + 1, 20);
  EXPECT_EQ(box.right - box.left + 1, 4);
}

TEST(FitDigit, FitsOtherSizesThanMnists) {
  data::Image image = grey_image(90, 90, 0);
  for (int y = 30; y < 70; ++y) pixel(image, y, 40) = 255;
  EXPECT_EQ(fit_digit(image, 7, 5).size(), 35U);
  EXPECT_EQ(fit_digit(image, 1, 1).size(), 1U);
  EXPECT_EQ(fit_digit(image, 64, 48).size(), 64U * 48U);
}

TEST(FitDigit, RefusesAPictureInWhichNothingStandsOut) {
  EXPECT_THROW((void)fit_digit(grey_image(50, 50, 128), kEdge, kEdge), PictureError);
  EXPECT_THROW((void)fit_digit(grey_image(1, 1, 255), kEdge, kEdge), PictureError);
  EXPECT_THROW((void)fit_digit(data::Image{10, 10, 3, Bytes(300, 0)}, kEdge, kEdge), PictureError);
  data::Image faint = grey_image(50, 50, 128);
  pixel(faint, 25, 25) = 135;
  EXPECT_THROW((void)fit_digit(faint, kEdge, kEdge), PictureError);
  EXPECT_THROW((void)fit_digit(data::Image{10, 10, 1, Bytes(99)}, kEdge, kEdge), PictureError);
  EXPECT_THROW((void)fit_picture(data::Image{}, {28, 28, 1}), PictureError);
}

TEST(FitPicture, AveragesAreasAndKeepsColours) {
  data::Image image{4, 4, 3, {}};
  for (int i = 0; i < 16; ++i)
    image.pixels.insert(image.pixels.end(), {static_cast<std::uint8_t>(i * 10), 100, 255});
  EXPECT_EQ(fit_picture(image, {2, 2, 3}), (Bytes{25, 100, 255, 45, 100, 255, 105, 100, 255, 125, 100, 255}));
  const Bytes grey = fit_picture(image, {1, 1, 1});
  EXPECT_NEAR(grey[0], 0.299 * 75 + 0.587 * 100 + 0.114 * 255, 1);
}

TEST(FitPicture, StretchesGrey) {
  EXPECT_EQ(fit_picture(grey_image(3, 5, 77), {2, 2, 3}), Bytes(12, 77));
  EXPECT_EQ(fit_picture(grey_image(1, 1, 9), {28, 28, 1}), Bytes(784, 9));
}

TEST(UndoEnlargement, IsOnlyBelievedWhereItGivesThePictureBack) {
  Plane picture{8, 8, std::vector<float>(64)};
  for (int i = 0; i < 64; ++i)
    picture.values[static_cast<std::size_t>(i)] = static_cast<float>((i / 8 / 2 * 7 + i % 8 / 2 * 3) % 5);
  const auto image = undo_enlargement(picture, 4, 4);
  ASSERT_TRUE(image.has_value());
  EXPECT_NEAR(image->values[5], picture.values[2 * 8 + 2], 1e-4);
  for (int i = 0; i < 64; ++i)
    picture.values[static_cast<std::size_t>(i)] = (i % 8 + i / 8) % 2 == 0 ? 1.0F : 0.0F;
  EXPECT_FALSE(undo_enlargement(picture, 4, 4).has_value());
  EXPECT_FALSE(undo_enlargement(picture, 9, 8).has_value());
}

TEST(Resample, KeepsTheMeanWhenItShrinksAndReachesOutside) {
  const Plane plane{3, 5, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
  EXPECT_NEAR(resample(plane, {0, 0, 3, 5}, 1, 1, Outside::kZero).values[0], 8, 1e-5);
  const Plane outside = resample(plane, {-3, 0, 6, 5}, 2, 1, Outside::kZero);
  EXPECT_NEAR(outside.values[0], 0, 1e-6);
  EXPECT_NEAR(outside.values[1], 8, 1e-5);
  EXPECT_NEAR(resample(plane, {-3, 0, 3, 1}, 1, 1, Outside::kNearestEdge).values[0], 1, 1e-5);
  const Plane larger = resample({1, 2, {0, 1}}, {0, 0, 1, 2}, 1, 4, Outside::kNearestEdge);
  EXPECT_EQ(larger.values, (std::vector<float>{0, 0.25F, 0.75F, 1}));
}

}  // namespace
}  // namespace trainer
