#include "data/digit_form.hpp"

#include <algorithm>
#include <cmath>

namespace trainer::data {
namespace {

bool is_framed_digit(std::span<const std::uint8_t> image, const Shape& shape) {
  constexpr int kInk = 64;
  const double scale = std::min(shape.h, shape.w) / 28.0;
  int top = shape.h, bottom = 0, left = shape.w, right = 0;
  double mass = 0, mass_y = 0, mass_x = 0;
  for (int y = 0; y < shape.h; ++y) {
    for (int x = 0; x < shape.w; ++x) {
      const int value = image[static_cast<std::size_t>(y) * static_cast<std::size_t>(shape.w) +
                              static_cast<std::size_t>(x)];
      mass += value;
      mass_y += value * (y + 0.5);
      mass_x += value * (x + 0.5);
      if (value < kInk) continue;
      top = std::min(top, y);
      bottom = y + 1;
      left = std::min(left, x);
      right = std::max(right, x + 1);
    }
  }
  const auto is_middle = [&](double centre, int size) {
    return std::abs(centre - (size + scale) / 2) <= 1.5 * scale;
  };
  const int longer = std::max(bottom - top, right - left);
  return std::abs(longer - 20 * scale) <= 2 * scale && is_middle(mass_y / mass, shape.h) &&
         is_middle(mass_x / mass, shape.w);
}

}  // namespace

bool have_digit_form(std::span<const std::uint8_t> images, const Shape& shape) {
  constexpr std::size_t kMost = 1000;
  const std::size_t count = images.size() / shape.size();
  const std::size_t seen = std::min(count, kMost);
  std::size_t framed = 0;
  for (std::size_t i = 0; shape.c == 1 && i < seen; ++i)
    framed += is_framed_digit(images.subspan(i * count / seen * shape.size(), shape.size()), shape) ? 1 : 0;
  return framed > 0 && framed * 10 >= seen * 9;
}

}  // namespace trainer::data
