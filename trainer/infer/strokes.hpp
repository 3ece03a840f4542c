// Finds digits in a map of ink: connected parts that are writing (not desk edges, lines of the paper or dust), joined to digits in
// reading order.
#pragma once

#include <vector>

#include "trainer/infer/ink.hpp"

namespace trainer {

// Rows [top, bottom) and columns [left, right).
struct PixelBox {
  int top = 0;
  int left = 0;
  int bottom = 0;
  int right = 0;

  int height() const { return bottom - top; }
  int width() const { return right - left; }
};

struct DigitInk {
  PixelBox box;  // where the digit is in the map
  Plane ink;     // the digit and a margin: 0 paper, 1 full strength; other digits are left out
};

// The digits, row by row from the top, and from left to right. Empty if there are none. Throws PictureError if there are too many.
[[nodiscard]] std::vector<DigitInk> find_digits(const InkMap& map);

}  // namespace trainer
