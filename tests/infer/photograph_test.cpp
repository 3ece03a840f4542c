// Digits on photographed paper: shapes drawn in a shadow, with noise, on ruled paper, beside a desk and with dust are found where they
// are, several are separated in reading order, and what cannot be read is refused with its reason.
#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <string>

#include "trainer/infer/digit.hpp"

namespace trainer {
namespace {

constexpr int kPageHeight = 180;
constexpr int kPageWidth = 240;
constexpr double kPaper = 232;
constexpr double kPen = 40;

struct Rectangle {
  int x, y, width, height;
};

// Grey levels of a page, [kPageHeight, kPageWidth].
class Page {
 public:
  explicit Page(double paper = kPaper) : values_(static_cast<std::size_t>(kPageHeight * kPageWidth), paper) {}

  void each(const std::function<double(int y, int x, double value)>& change) {
    for (int y = 0; y < kPageHeight; ++y)
      for (int x = 0; x < kPageWidth; ++x) {
        double& value = values_[static_cast<std::size_t>(y * kPageWidth + x)];
        value = change(y, x, value);
      }
  }
  void fill(const Rectangle& box, double value = kPen) {
    each([&](int y, int x, double old) {
      const bool inside = y >= box.y && y < box.y + box.height && x >= box.x && x < box.x + box.width;
      return inside ? value : old;
    });
  }
  // A seven, 40 wide and 60 high with strokes of 8.
  void seven(int x, int y, double pen = kPen) {
    fill({x, y, 40, 8}, pen);
    fill({x + 32, y, 8, 60}, pen);
  }
  void noise(double levels) {
    unsigned state = 1;
    each([&](int, int, double value) {
      state = state * 1664525U + 1013904223U;
      return value + levels * (static_cast<double>(state >> 16U) / 32768 - 1);
    });
  }
  data::Image image() const {
    data::Image image{kPageHeight, kPageWidth, 1, {}};
    for (const double value : values_)
      image.pixels.push_back(static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 255.0))));
    return image;
  }

 private:
  std::vector<double> values_;
};

void expect_box(const FittedDigit& digit, const Rectangle& box, int tolerance = 2) {
  EXPECT_NEAR(digit.x, box.x, tolerance);
  EXPECT_NEAR(digit.y, box.y, tolerance);
  EXPECT_NEAR(digit.width, box.width, 2 * tolerance);
  EXPECT_NEAR(digit.height, box.height, 2 * tolerance);
}

// The page's one digit is the seven at (100, 60), and its image the one of a clean page.
void expect_seven(const Page& page) {
  const std::vector<FittedDigit> digits = fit_digits(page.image(), 28, 28);
  ASSERT_EQ(digits.size(), 1U);
  expect_box(digits[0], {100, 60, 40, 60});
  Page clean;
  clean.seven(100, 60);
  const std::vector<std::uint8_t> wanted = fit_digits(clean.image(), 28, 28)[0].image;
  double difference = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) difference += std::abs(digits[0].image[i] - wanted[i]);
  EXPECT_LT(difference / static_cast<double>(wanted.size()), 12);
}

std::string refusal(const data::Image& picture) {
  try {
    (void)fit_digits(picture, 28, 28);
  } catch (const PictureError& error) {
    return error.what();
  }
  return "read";
}

std::string refusal(const Page& page) {
  return refusal(page.image());
}

bool says(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

Page page_with_seven(double pen = kPen) {
  Page page;
  page.seven(100, 60, pen);
  return page;
}

TEST(Photograph, IsReadInAShadowAndWithADarkCorner) {
  Page shadow = page_with_seven();
  shadow.each([](int, int x, double value) { return value * (0.55 + 0.45 * x / kPageWidth); });
  expect_seven(shadow);
  Page corner = page_with_seven();
  corner.each(
      [](int y, int x, double value) { return value * (1 - 0.5 * std::exp(-(y * y + x * x) / 4000.0)); });
  expect_seven(corner);
}

TEST(Photograph, IsReadWhereNoiseDiffersFromPlaceToPlace) {
  Page page = page_with_seven();
  page.noise(6);
  page.each([](int y, int x, double value) { return value + (x > 150 && (x + y) % 3 == 0 ? 25 : 0); });
  expect_seven(page);
}

TEST(Photograph, IsReadOnRuledSquaredAndDottedPaper) {
  for (const double line : {190.0, 60.0}) {
    Page ruled = page_with_seven();
    ruled.each([&](int y, int, double value) { return y % 25 == 13 ? std::min(value, line) : value; });
    expect_seven(ruled);
  }
  Page squared = page_with_seven();
  squared.each([](int y, int x, double value) {
    return y % 25 == 13 || x % 25 == 13 ? std::min(value, 170.0) : value;
  });
  expect_seven(squared);
  Page dotted = page_with_seven();
  dotted.each(
      [](int y, int x, double value) { return y % 20 < 3 && x % 20 < 3 ? std::min(value, 100.0) : value; });
  expect_seven(dotted);
}

TEST(Photograph, IsReadBesideADeskAndWithDust) {
  Page desk = page_with_seven();
  desk.each([](int y, int x, double value) { return x < 30 + y / 20 ? 90 : value; });
  expect_seven(desk);
  Page dust = page_with_seven();
  for (int i = 0; i < 12; ++i) dust.fill({15 + 18 * i, 10 + (i * 7) % 30, 3, 3});
  expect_seven(dust);
}

TEST(Photograph, IsReadWithAFaintPencilAndOnABlackboard) {
  Page faint = page_with_seven(kPaper - 40);
  faint.noise(4);
  expect_seven(faint);
  Page board(50);
  board.seven(100, 60, 210);
  board.noise(6);
  expect_seven(board);
}

TEST(Photograph, KeepsABrokenStrokeAndLeavesAnUnderlineOut) {
  Page broken = page_with_seven();
  broken.fill({100, 84, 40, 4}, kPaper);
  expect_box(fit_digits(broken.image(), 28, 28).at(0), {100, 60, 40, 60});
  Page underlined = page_with_seven();
  underlined.fill({95, 132, 50, 5});
  expect_seven(underlined);
}

TEST(Photograph, ReadsSeveralDigitsRowByRow) {
  Page page;
  page.seven(150, 20);
  page.seven(60, 25);
  page.seven(40, 110);
  page.each([](int, int x, double value) { return value * (0.6 + 0.4 * x / kPageWidth); });
  const std::vector<FittedDigit> digits = fit_digits(page.image(), 28, 28);
  ASSERT_EQ(digits.size(), 3U);
  expect_box(digits[0], {60, 25, 40, 60});
  expect_box(digits[1], {150, 20, 40, 60});
  expect_box(digits[2], {40, 110, 40, 60});
}

TEST(Photograph, GivesBoxesInPixelsOfALargePicture) {
  data::Image large{1800, 2400, 1, std::vector<std::uint8_t>(1800 * 2400, 230)};
  for (int y = 600; y < 1200; ++y)
    for (int x = 1000; x < 1100; ++x) large.pixels[static_cast<std::size_t>(y * 2400 + x)] = 30;
  const std::vector<FittedDigit> digits = fit_digits(large, 28, 28);
  ASSERT_EQ(digits.size(), 1U);
  expect_box(digits[0], {1000, 600, 100, 600}, 6);
}

// A picture of 1000 x 1000, dark where `is_dark`.
data::Image large_picture(const std::function<bool(int y, int x)>& is_dark) {
  data::Image large{1000, 1000, 1, {}};
  for (int y = 0; y < 1000; ++y)
    for (int x = 0; x < 1000; ++x) large.pixels.push_back(is_dark(y, x) ? 20 : 230);
  return large;
}

TEST(Photograph, SpecksAreNoDigitsHoweverMany) {
  const auto dots = [](int step, int size) {
    const int first = step / 2;  // none lies on the border, as edges do
    return large_picture(
        [=](int y, int x) { return (y + first) % step < size && (x + first) % step < size; });
  };
  EXPECT_PRED2(says, refusal(dots(4, 1)), "specks");
  EXPECT_PRED2(says, refusal(dots(100, 4)), "specks");
  EXPECT_PRED2(says, refusal(dots(40, 16)), "more than 500 specks");
  EXPECT_EQ(fit_digits(dots(50, 20), 28, 28).size(), 400U);
  for (const unsigned rarity : {100U, 10000U}) {
    unsigned state = 1;
    const data::Image pepper = large_picture([&](int, int) {
      state = state * 1664525U + 1013904223U;
      return (state >> 8U) % rarity == 0;
    });
    EXPECT_PRED2(says, refusal(pepper), "specks") << rarity;
  }
}

TEST(Photograph, SaysWhyItCannotBeRead) {
  Page empty;
  empty.noise(3);
  EXPECT_PRED2(says, refusal(empty), "no digit");
  EXPECT_PRED2(says, refusal(page_with_seven(kPaper - 8)), "too faint");
  Page lines;
  lines.each([](int y, int, double value) { return y % 30 == 10 ? 120 : value; });
  EXPECT_PRED2(says, refusal(lines), "edges, lines or specks");
  Page touching;
  touching.fill({20, 80, 200, 8});
  for (int i = 0; i < 5; ++i) touching.fill({20 + 48 * i, 50, 8, 60});
  EXPECT_PRED2(says, refusal(touching), "several digits");
}

}  // namespace
}  // namespace trainer
