// The steps of fit_digit: grey values -> ink (0 background, 1 the strongest stroke) -> box around the ink ->
// window of the picture that becomes the image -> resampled bytes.
#include "trainer/infer/digit.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>

#include "trainer/infer/resample.hpp"
#include "trainer/system/statistics.hpp"

namespace trainer {
namespace {

constexpr float kLeastContrast = 16;   // grey levels between background and ink
constexpr float kNoiseDeviations = 5;  // ink differs from the background by more than this times its noise
constexpr double kTrimmedInk = 0.002;  // fraction of ink cut off on each side: specks, faint fringes
constexpr double kBoxFraction = 20.0 / 28.0;  // fraction of the image that the digit's longer side takes
constexpr double kScaleTolerance = 0.08;      // a picture counts as framed already within this error of scale
constexpr double kCentreTolerance = 0.6;      // and this offset, in new pixels

void check_pixels(const data::Image& picture) {
  const auto count = static_cast<std::size_t>(picture.height) * static_cast<std::size_t>(picture.width);
  if (picture.height < 1 || picture.width < 1 || picture.channels < 1 || picture.channels > 4 ||
      picture.pixels.size() != count * static_cast<std::size_t>(picture.channels))
    throw PictureError("it has no pixels, or not as many as its size says");
}

bool has_alpha(const data::Image& picture) {
  return picture.channels == 2 || picture.channels == 4;
}

float luma(const std::uint8_t* pixel, int channels) {
  if (channels < 3) return pixel[0];
  return 0.299F * pixel[0] + 0.587F * pixel[1] + 0.114F * pixel[2];
}

// White, unless the visible part is light: then black, so that it stands out.
float background_for_transparent(const data::Image& picture) {
  double sum = 0;
  double weight = 0;
  for (std::size_t i = 0; i < picture.pixels.size(); i += static_cast<std::size_t>(picture.channels)) {
    const std::uint8_t* pixel = picture.pixels.data() + i;
    const double alpha = pixel[picture.channels - 1];
    sum += alpha * luma(pixel, picture.channels);
    weight += alpha;
  }
  return weight > 0 && sum / weight > 127.5 ? 0.0F : 255.0F;
}

constexpr int kGrey = -1;  // in place of a channel

// A channel of a picture, or its grey values, which stand for every channel of a picture without colours. Transparent parts lie
// on `background`.
Plane channel_of(const data::Image& picture, int channel, float background) {
  Plane plane{picture.height, picture.width, {}};
  plane.values.reserve(static_cast<std::size_t>(picture.height) * static_cast<std::size_t>(picture.width));
  const int channels = picture.channels;
  for (std::size_t i = 0; i < picture.pixels.size(); i += static_cast<std::size_t>(channels)) {
    const std::uint8_t* pixel = picture.pixels.data() + i;
    const float value =
        channel != kGrey && channels >= 3 ? static_cast<float>(pixel[channel]) : luma(pixel, channels);
    const float opacity = has_alpha(picture) ? static_cast<float>(pixel[channels - 1]) / 255.0F : 1.0F;
    plane.values.push_back(opacity * value + (1 - opacity) * background);
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

// How far each pixel is from the background, towards the side (lighter or darker) on which the strokes are.
Plane ink_of(Plane plane) {
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
  if (strongest < kLeastContrast)
    throw PictureError(
        "nothing stands out from its background: a digit must be darker or lighter than what surrounds it");
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

}  // namespace

std::vector<std::uint8_t> fit_digit(const data::Image& picture, int height, int width) {
  check_pixels(picture);
  const float background = has_alpha(picture) ? background_for_transparent(picture) : 0.0F;
  const Plane ink = ink_of(channel_of(picture, kGrey, background));
  const std::optional<PictureWindow> window = window_of(ink, height, width);
  std::optional<Plane> image;
  if (!window) image = undo_enlargement(ink, height, width);
  if (!image) image = resample(ink, window.value_or(whole_window(ink)), height, width, Outside::kZero);
  return bytes_of(*image, 255.0F / *std::ranges::max_element(image->values));
}

std::vector<std::uint8_t> fit_picture(const data::Image& picture, const Shape& shape) {
  check_pixels(picture);
  std::vector<std::uint8_t> bytes(shape.size());
  for (int channel = 0; channel < shape.c; ++channel) {
    const Plane plane = channel_of(picture, shape.c == 1 ? kGrey : channel, 255);
    const Plane fitted = resample(plane, whole_window(plane), shape.h, shape.w, Outside::kNearestEdge);
    const std::vector<std::uint8_t> values = bytes_of(fitted, 1);
    for (std::size_t i = 0; i < values.size(); ++i)
      bytes[i * static_cast<std::size_t>(shape.c) + static_cast<std::size_t>(channel)] = values[i];
  }
  return bytes;
}

}  // namespace trainer
