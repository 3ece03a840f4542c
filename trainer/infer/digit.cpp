// The steps of fit_digit: grey values -> ink (0 background, 1 the strongest stroke) -> box around the ink ->
// window of the picture that becomes the image -> resampled bytes.
#include "trainer/infer/digit.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>

#include "trainer/infer/enlargement.hpp"
#include "trainer/infer/resample.hpp"
#include "trainer/system/statistics.hpp"

namespace trainer {
namespace {

constexpr float kLeastContrast = 16;   // grey levels between background and ink
constexpr float kNoiseDeviations = 5;  // ink differs from the background by more than this times its noise
constexpr double kTrimmedInk = 0.002;  // of all ink, on each side of the box: specks and faint fringes
constexpr double kBoxShare = 20.0 / 28.0;  // of the image, taken by the digit's longer side
constexpr double kScaleTolerance = 0.08;   // within which a picture counts as framed already,
constexpr double kCentreTolerance = 0.6;   // and this, in new pixels

float luma(const std::uint8_t* pixel, int channels) {
  if (channels < 3) return pixel[0];
  return 0.299F * pixel[0] + 0.587F * pixel[1] + 0.114F * pixel[2];
}

bool has_alpha(const data::Image& picture) {
  return picture.channels == 2 || picture.channels == 4;
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

Plane grey_values(const data::Image& picture) {
  Plane grey{picture.height, picture.width, {}};
  grey.values.reserve(static_cast<std::size_t>(picture.height) * picture.width);
  const bool alpha = has_alpha(picture);
  const float behind = alpha ? background_for_transparent(picture) : 0.0F;
  for (std::size_t i = 0; i < picture.pixels.size(); i += static_cast<std::size_t>(picture.channels)) {
    const std::uint8_t* pixel = picture.pixels.data() + i;
    const float opacity = alpha ? static_cast<float>(pixel[picture.channels - 1]) / 255.0F : 1.0F;
    grey.values.push_back(opacity * luma(pixel, picture.channels) + (1 - opacity) * behind);
  }
  return grey;
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

// Ink of each row, and of each column.
struct Profiles {
  std::vector<double> rows;
  std::vector<double> columns;
};

Profiles profiles_of(const Plane& ink) {
  Profiles profiles{std::vector<double>(static_cast<std::size_t>(ink.height)),
                    std::vector<double>(static_cast<std::size_t>(ink.width))};
  const float* value = ink.values.data();
  for (double& row : profiles.rows)
    for (double& column : profiles.columns) {
      row += *value;
      column += *value++;
    }
  return profiles;
}

struct Extent {
  double begin = 0;
  double end = 0;
  double centre_of_mass = 0;
};

Extent extent_of(const std::vector<double>& profile) {
  const double total = std::accumulate(profile.begin(), profile.end(), 0.0);
  Extent extent{0, static_cast<double>(profile.size()), 0};
  double before = 0;
  bool started = false;
  bool ended = false;
  for (std::size_t i = 0; i < profile.size(); ++i) {
    extent.centre_of_mass += profile[i] * (static_cast<double>(i) + 0.5) / total;
    before += profile[i];
    if (!started && before > kTrimmedInk * total) {
      extent.begin = static_cast<double>(i);
      started = true;
    }
    if (!ended && before >= (1 - kTrimmedInk) * total) {
      extent.end = static_cast<double>(i) + 1;
      ended = true;
    }
  }
  return extent;
}

double middle_pixel(int size) {
  const int middle = size / 2;
  return middle;
}

// Where the image begins along one side, in old pixels: such that the box begins on a whole new pixel and the
// centre of mass falls into the middle one, as in MNIST, as long as the box stays inside.
double start_of(const Extent& extent, int size, double step) {
  const double mass_in_box = (extent.centre_of_mass - extent.begin) / step;
  const double room = std::floor(size - (extent.end - extent.begin) / step);
  const double box_at = std::clamp(std::ceil(middle_pixel(size) - mass_in_box), 0.0, std::max(0.0, room));
  return extent.begin - box_at * step;
}

bool is_centred(const Extent& extent, int size, double step) {
  return std::abs(extent.centre_of_mass / step - (middle_pixel(size) + 0.5)) <= 0.5 + kCentreTolerance;
}

struct Framing {
  PictureWindow window;
  bool is_whole = false;  // the window is the picture
};

Framing framing_of(const Plane& ink, int height, int width) {
  const Profiles profiles = profiles_of(ink);
  const Extent rows = extent_of(profiles.rows);
  const Extent columns = extent_of(profiles.columns);
  const double box = std::max(1.0, std::round(std::min(height, width) * kBoxShare));
  const double step = std::max(rows.end - rows.begin, columns.end - columns.begin) / box;
  const double whole = static_cast<double>(ink.height) / height;
  const bool same_shape = std::abs(static_cast<double>(ink.width) / width - whole) < 0.01 * whole;
  if (same_shape && std::abs(step / whole - 1) < kScaleTolerance && is_centred(rows, height, whole) &&
      is_centred(columns, width, whole))
    return {{0, 0, static_cast<double>(ink.height), static_cast<double>(ink.width)}, true};
  return {{start_of(rows, height, step), start_of(columns, width, step), step * height, step * width}, false};
}

std::vector<std::uint8_t> bytes_of(const Plane& plane, float scale) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(plane.values.size());
  for (const float value : plane.values)
    bytes.push_back(static_cast<std::uint8_t>(std::clamp(std::lround(value * scale), 0L, 255L)));
  return bytes;
}

// One channel of a picture (its grey values where it has no such channel), transparent parts being white.
Plane channel_of(const data::Image& picture, int channel, bool grey) {
  const auto channels = static_cast<std::size_t>(picture.channels);
  Plane plane{picture.height, picture.width, {}};
  plane.values.reserve(picture.pixels.size() / channels);
  for (std::size_t i = 0; i < picture.pixels.size(); i += channels) {
    const std::uint8_t* pixel = picture.pixels.data() + i;
    const float value =
        grey || channels < 3 ? luma(pixel, picture.channels) : static_cast<float>(pixel[channel]);
    const float opacity = has_alpha(picture) ? static_cast<float>(pixel[channels - 1]) / 255.0F : 1.0F;
    plane.values.push_back(opacity * value + (1 - opacity) * 255.0F);
  }
  return plane;
}

void check_pixels(const data::Image& picture) {
  const auto count = static_cast<std::size_t>(picture.height) * static_cast<std::size_t>(picture.width);
  if (picture.height < 1 || picture.width < 1 || picture.channels < 1 || picture.channels > 4 ||
      picture.pixels.size() != count * static_cast<std::size_t>(picture.channels))
    throw PictureError("it has no pixels, or not as many as its size says");
}

}  // namespace

std::vector<std::uint8_t> fit_digit(const data::Image& picture, int height, int width) {
  check_pixels(picture);
  const Plane ink = ink_of(grey_values(picture));
  const Framing framing = framing_of(ink, height, width);
  std::optional<Plane> image;
  if (framing.is_whole) image = undo_enlargement(ink, height, width);
  if (!image) image = resample(ink, framing.window, height, width, Outside::kZero);
  return bytes_of(*image, 255.0F / *std::ranges::max_element(image->values));
}

std::vector<std::uint8_t> fit_picture(const data::Image& picture, const Shape& shape) {
  check_pixels(picture);
  const PictureWindow whole{0, 0, static_cast<double>(picture.height), static_cast<double>(picture.width)};
  std::vector<std::uint8_t> bytes(shape.size());
  for (int channel = 0; channel < shape.c; ++channel) {
    const Plane plane =
        resample(channel_of(picture, channel, shape.c == 1), whole, shape.h, shape.w, Outside::kNearestEdge);
    const std::vector<std::uint8_t> values = bytes_of(plane, 1);
    for (std::size_t i = 0; i < values.size(); ++i)
      bytes[i * static_cast<std::size_t>(shape.c) + static_cast<std::size_t>(channel)] = values[i];
  }
  return bytes;
}

}  // namespace trainer
