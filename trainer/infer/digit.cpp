// The steps of fit_digits: grey values -> ink (trainer/infer/ink.hpp) -> digits (strokes.cpp) -> for each the
// window that becomes the image -> resampled bytes. A picture that is framed already takes a shorter way.
#include "trainer/infer/digit.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fmt/format.h>
#include <numeric>
#include <optional>

#include "trainer/infer/ink.hpp"
#include "trainer/system/statistics.hpp"

namespace trainer {
namespace {

constexpr float kLeastContrast = 16;   // grey levels between background and ink
constexpr float kNoiseDeviations = 5;  // ink differs from the background by more than this times its noise
constexpr int kLongestSide = 1000;  // pixels in which digits are looked for; larger pictures are shrunk to it
constexpr double kWidestDigit = 2.2;          // times its height: wider ones are several that touch
constexpr double kTrimmedInk = 0.002;         // fraction of ink cut off on each side: specks, faint fringes
constexpr double kBoxFraction = 20.0 / 28.0;  // fraction of the image that the digit's longer side takes
constexpr double kScaleTolerance = 0.08;      // a picture counts as framed already within this error of scale
constexpr double kCentreTolerance = 0.6;      // and this offset, in new pixels

void check_pixels(const data::Image& picture) {
  const auto count = static_cast<std::size_t>(picture.height) * static_cast<std::size_t>(picture.width);
  if (picture.height < 1 || picture.width < 1 || (picture.channels != 1 && picture.channels != 3) ||
      picture.pixels.size() != count * static_cast<std::size_t>(picture.channels))
    throw PictureError("it has no pixels, or not as many as its size says");
}

constexpr int kGrey = -1;  // in place of a channel

// A channel's value at a pixel, or its grey value, which stands for every channel of a picture without colours.
float value_at(const data::Image& picture, std::size_t index, int channel) {
  const std::uint8_t* pixel = picture.pixels.data() + index * static_cast<std::size_t>(picture.channels);
  if (picture.channels == 1) return pixel[0];
  if (channel != kGrey) return pixel[channel];
  return 0.299F * pixel[0] + 0.587F * pixel[1] + 0.114F * pixel[2];
}

// One channel of a picture; each new pixel is the mean of a block of `block` x `block`, so that a large picture never
// needs memory for as many floats as it has pixels.
Plane plane_of(const data::Image& picture, int channel, int block) {
  Plane plane{(picture.height + block - 1) / block, (picture.width + block - 1) / block, {}};
  std::vector<float> sums;
  for (int top = 0; top < picture.height; top += block) {
    sums.assign(static_cast<std::size_t>(plane.width), 0);
    const int rows = std::min(block, picture.height - top);
    auto index = static_cast<std::size_t>(top) * static_cast<std::size_t>(picture.width);
    for (int y = 0; y < rows; ++y)
      for (int x = 0; x < picture.width; ++x)
        sums[static_cast<std::size_t>(x / block)] += value_at(picture, index++, channel);
    for (int x = 0; x < plane.width; ++x)
      plane.values.push_back(sums[static_cast<std::size_t>(x)] /
                             static_cast<float>(rows * std::min(block, picture.width - x * block)));
  }
  return plane;
}

std::vector<float> border_of(const Plane& plane) {
  std::vector<float> border;
  for (int y = 0; y < plane.height; ++y)
    for (int x = 0; x < plane.width; ++x)
      if (y == 0 || x == 0 || y == plane.height - 1 || x == plane.width - 1)
        border.push_back(plane.values[static_cast<std::size_t>(y) * plane.width + x]);
  return border;
}

// How far each pixel is from the median of the picture's border, towards the side (lighter or darker) on which the strokes are,
// as a fraction of the strongest; nothing if even that is weak.
std::optional<Plane> flat_ink(Plane plane) {
  std::vector<float> border = border_of(plane);
  const float background = median(border);
  for (float& value : border) value = std::abs(value - background);
  const float noise = kNoiseDeviations * 1.4826F * median(border);
  double balance = 0;
  for (float& value : plane.values) {
    value -= background;
    if (std::abs(value) <= noise) value = 0;
    balance += static_cast<double>(value) * std::abs(value);
  }
  const float sign = balance < 0 ? -1.0F : 1.0F;
  for (float& value : plane.values) value = std::max(0.0F, sign * value);
  const float strongest = *std::ranges::max_element(plane.values);
  if (strongest < kLeastContrast) return std::nullopt;
  for (float& value : plane.values) value /= strongest;
  return plane;
}

struct Extent {
  double begin = 0;
  double end = 0;
  double centre_of_mass = 0;
};

// The extent of the ink along one axis; `profile` holds its sums over the other axis.
Extent extent_of(const std::vector<double>& profile) {
  const double total = std::accumulate(profile.begin(), profile.end(), 0.0);
  Extent extent;
  double before = 0;
  for (std::size_t i = 0; i < profile.size(); ++i) {
    const auto at = static_cast<double>(i);
    if (before <= kTrimmedInk * total) extent.begin = at;
    if (before < (1 - kTrimmedInk) * total) extent.end = at + 1;
    extent.centre_of_mass += profile[i] * (at + 0.5) / total;
    before += profile[i];
  }
  return extent;
}

// Where the image begins along one axis, in old pixels, so that the box begins on a whole new pixel and the centre of mass falls
// into the middle one, as in MNIST, provided that the box stays inside.
double start_of(const Extent& extent, int size, double step) {
  const int middle = size / 2;
  const double mass_in_box = (extent.centre_of_mass - extent.begin) / step;
  const double room = std::floor(size - (extent.end - extent.begin) / step);
  const double box_at = std::clamp(std::ceil(middle - mass_in_box), 0.0, std::max(0.0, room));
  return extent.begin - box_at * step;
}

bool is_centred(const Extent& extent, int size, double step) {
  const int middle = size / 2;
  return std::abs(extent.centre_of_mass / step - (middle + 0.5)) <= 0.5 + kCentreTolerance;
}

// The window that becomes the image of height x width; nothing if the picture is framed like that already.
std::optional<PictureWindow> window_of(const Plane& ink, int height, int width) {
  std::vector<double> row_sums(static_cast<std::size_t>(ink.height));
  std::vector<double> column_sums(static_cast<std::size_t>(ink.width));
  const float* value = ink.values.data();
  for (double& row : row_sums)
    for (double& column : column_sums) {
      row += *value;
      column += *value++;
    }
  const Extent rows = extent_of(row_sums);
  const Extent columns = extent_of(column_sums);
  const double box = std::max(1.0, std::round(std::min(height, width) * kBoxFraction));
  const double step = std::max(rows.end - rows.begin, columns.end - columns.begin) / box;
  const double whole = static_cast<double>(ink.height) / height;
  const bool same_shape = std::abs(static_cast<double>(ink.width) / width - whole) < 0.01 * whole;
  if (same_shape && std::abs(step / whole - 1) < kScaleTolerance && is_centred(rows, height, whole) &&
      is_centred(columns, width, whole))
    return std::nullopt;
  return PictureWindow{start_of(rows, height, step), start_of(columns, width, step), step * height,
                       step * width};
}

std::vector<std::uint8_t> bytes_of(const Plane& plane, float scale) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(plane.values.size());
  for (const float value : plane.values)
    bytes.push_back(static_cast<std::uint8_t>(std::clamp(std::lround(value * scale), 0L, 255L)));
  return bytes;
}

// The image of a picture of the training images' size, or of an enlargement of one that is framed like them. Nothing if it is another
// picture, or nothing stands out from its border.
std::optional<Plane> framed_image(const Plane& grey, int height, int width) {
  const std::optional<Plane> ink = flat_ink(grey);
  if (!ink) return std::nullopt;
  const std::optional<PictureWindow> window = window_of(*ink, height, width);
  if (!window) return undo_enlargement(*ink, height, width);
  if (grey.height != height || grey.width != width) return std::nullopt;
  return resample(*ink, *window, height, width, Outside::kZero);
}

std::vector<DigitInk> digits_in(const Plane& grey) {
  const Pen pen = pen_of(grey);
  const InkMap map = ink_map(grey, pen);
  std::vector<DigitInk> digits = find_digits(map);
  if (digits.empty()) digits = find_digits(ink_map(grey, pen == Pen::kDark ? Pen::kLight : Pen::kDark));
  if (!digits.empty()) return digits;
  if (map.strongest == 0)
    throw PictureError(fmt::format(
        "no digit: nothing differs from the paper by more than its noise of {:.1f} grey levels", map.noise));
  if (map.strongest < kLeastContrast)
    throw PictureError(fmt::format(
        "too faint: nothing differs from the paper by more than {:.0f} grey levels; {:.0f} are needed",
        map.strongest, kLeastContrast));
  throw PictureError("no digit: what stands out are edges, lines or specks");
}

}  // namespace

std::vector<FittedDigit> fit_digits(const data::Image& picture, int height, int width) {
  check_pixels(picture);
  const int longer = std::max(picture.height, picture.width);
  const int block = (longer + kLongestSide - 1) / kLongestSide;
  const Plane grey = plane_of(picture, kGrey, block);
  const auto bytes = [](const Plane& image) {
    return bytes_of(image, 255.0F / *std::ranges::max_element(image.values));
  };
  if (const std::optional<Plane> image = block == 1 ? framed_image(grey, height, width) : std::nullopt)
    return {{0, 0, picture.width, picture.height, bytes(*image)}};
  std::vector<FittedDigit> fitted;
  for (const DigitInk& digit : digits_in(grey)) {
    const PixelBox& box = digit.box;
    if (box.width() > kWidestDigit * box.height())
      throw PictureError(
          "several digits that touch each other: leave a gap between them, or cut the picture");
    const PictureWindow window = window_of(digit.ink, height, width).value_or(whole_window(digit.ink));
    const Plane image = resample(digit.ink, window, height, width, Outside::kZero);
    const int x = box.left * block, y = box.top * block;
    fitted.push_back({x, y, std::min(picture.width, box.right * block) - x,
                      std::min(picture.height, box.bottom * block) - y, bytes(image)});
  }
  return fitted;
}

std::vector<std::uint8_t> fit_picture(const data::Image& picture, const Shape& shape) {
  check_pixels(picture);
  std::vector<std::uint8_t> bytes(shape.size());
  for (int channel = 0; channel < shape.c; ++channel) {
    const Plane plane = plane_of(picture, shape.c == 1 ? kGrey : channel, 1);
    const Plane fitted = resample(plane, whole_window(plane), shape.h, shape.w, Outside::kNearestEdge);
    const std::vector<std::uint8_t> values = bytes_of(fitted, 1);
    for (std::size_t i = 0; i < values.size(); ++i)
      bytes[i * static_cast<std::size_t>(shape.c) + static_cast<std::size_t>(channel)] = values[i];
  }
  return bytes;
}

}  // namespace trainer
