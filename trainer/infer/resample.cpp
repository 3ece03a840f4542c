// Separable: rows first, then columns. For each new row (or column) a list of old ones with weights is made
// once.
#include "trainer/infer/resample.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace trainer {
namespace {

struct Tap {
  int index = 0;
  float weight = 0;
};
using Taps = std::vector<Tap>;

struct Line {
  int old_size = 0;
  double start = 0;  // of the window, in old pixels
  double step = 0;   // old pixels a new pixel
  Outside outside = Outside::kZero;
};

void add_tap(Taps& taps, const Line& line, int index, double weight) {
  const bool inside = index >= 0 && index < line.old_size;
  if (weight <= 0 || (!inside && line.outside == Outside::kZero)) return;
  taps.push_back({std::clamp(index, 0, line.old_size - 1), static_cast<float>(weight)});
}

// The old pixels that make new pixel `index`.
Taps taps_of(const Line& line, int index) {
  Taps taps;
  const double begin = line.start + index * line.step;
  const double end = begin + line.step;
  if (line.step < 1) {
    const double centre = (begin + end) / 2 - 0.5;
    const int below = static_cast<int>(std::floor(centre));
    add_tap(taps, line, below, 1 - (centre - below));
    add_tap(taps, line, below + 1, centre - below);
    return taps;
  }
  for (int old = static_cast<int>(std::floor(begin)); old < end; ++old)
    add_tap(taps, line, old, (std::min(end, old + 1.0) - std::max<double>(begin, old)) / line.step);
  return taps;
}

Plane resample_rows(const Plane& plane, const PictureWindow& window, int height, Outside outside) {
  Plane result{height, plane.width, std::vector<float>(static_cast<std::size_t>(height) * plane.width)};
  const Line line{plane.height, window.top, window.height / height, outside};
  for (int y = 0; y < height; ++y) {
    float* row = result.values.data() + static_cast<std::ptrdiff_t>(y) * plane.width;
    for (const Tap& tap : taps_of(line, y)) {
      const float* old_row = plane.values.data() + static_cast<std::ptrdiff_t>(tap.index) * plane.width;
      for (int x = 0; x < plane.width; ++x) row[x] += tap.weight * old_row[x];
    }
  }
  return result;
}

Plane resample_columns(const Plane& plane, const PictureWindow& window, int width, Outside outside) {
  Plane result{plane.height, width, std::vector<float>(static_cast<std::size_t>(plane.height) * width)};
  const Line line{plane.width, window.left, window.width / width, outside};
  for (int x = 0; x < width; ++x) {
    const Taps taps = taps_of(line, x);
    for (int y = 0; y < plane.height; ++y) {
      const float* old_row = plane.values.data() + static_cast<std::ptrdiff_t>(y) * plane.width;
      float sum = 0;
      for (const Tap& tap : taps) sum += tap.weight * old_row[tap.index];
      result.values[static_cast<std::size_t>(y) * width + x] = sum;
    }
  }
  return result;
}

}  // namespace

Plane resample(const Plane& plane, const PictureWindow& window, int height, int width, Outside outside) {
  return resample_columns(resample_rows(plane, window, height, outside), window, width, outside);
}

}  // namespace trainer
