// Changing the size of an image. resample() averages the area that each new pixel covers, so that nothing flickers in or
// out when an image shrinks, and interpolates linearly when an image grows. undo_enlargement() recovers a small image that
// someone scaled up to look at it: averaging it down again would blur what interpolation already blurred, and cost a network
// a quarter of a percent of accuracy.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace trainer {

struct Plane {
  int height = 0;
  int width = 0;
  std::vector<float> values;  // [height, width]

  std::size_t index(int y, int x) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x);
  }
};

// A rectangle in a plane, in pixels; pixel (y, x) covers [y, y + 1) x [x, x + 1). It may reach outside.
struct PictureWindow {
  double top = 0;
  double left = 0;
  double height = 0;
  double width = 0;
};

[[nodiscard]] inline PictureWindow whole_window(const Plane& plane) {
  return {0, 0, static_cast<double>(plane.height), static_cast<double>(plane.width)};
}

enum class Outside { kZero, kNearestEdge };

// The content of `window` as height x width new pixels. `outside` says what surrounds the plane.
[[nodiscard]] Plane resample(const Plane& plane, const PictureWindow& window, int height, int width,
                             Outside outside);

// The image of height x width whose enlargement (nearest pixel, linear or cubic interpolation) is `enlarged`, by least
// squares. Nothing if no enlargement of such an image comes close, or if `enlarged` is smaller than that.
[[nodiscard]] std::optional<Plane> undo_enlargement(const Plane& enlarged, int height, int width);

}  // namespace trainer
