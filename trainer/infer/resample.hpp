// Changing the size of a picture: each new pixel is the average of the area that it covers (so nothing
// flickers in or out when a picture shrinks), and lies on the straight line between its neighbours when a
// picture grows.
#pragma once

#include <vector>

namespace trainer {

struct Plane {
  int height = 0;
  int width = 0;
  std::vector<float> values;  // [height, width]
};

// A rectangle in a plane, in pixels; pixel (y, x) covers [y, y + 1) x [x, x + 1). It may reach outside.
struct PictureWindow {
  double top = 0;
  double left = 0;
  double height = 0;
  double width = 0;
};

enum class Outside { kZero, kNearestEdge };

// What is seen through `window`, as height x width new pixels. `outside` says what lies around the plane.
[[nodiscard]] Plane resample(const Plane& plane, const PictureWindow& window, int height, int width,
                             Outside outside);

}  // namespace trainer
