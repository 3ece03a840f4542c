// Tells ink from paper, as a reader does: by comparing a pixel with the paper around it. A photograph is darker towards one edge or in
// a corner, its noise differs from place to place, and its paper is white, grey or a blackboard. Then finds digits in the ink.
#pragma once

#include <vector>

#include "trainer/infer/resample.hpp"

namespace trainer {

// How far each pixel is from the paper around it, towards the side of the ink.
struct InkMap {
  Plane strength;       // grey levels, as in the best light of the picture; 0 where it is not above the noise
  float strongest = 0;  // of `strength`
  float noise = 0;      // the paper's, as a standard deviation in grey levels: the median over the picture
};

enum class Pen { kDark, kLight };  // darker or lighter than the paper

// Whether most of what stands out in `grey` is darker or lighter than the paper.
[[nodiscard]] Pen pen_of(const Plane& grey);

// `grey` has values of 0 to 255, and its longer side should have at most about 1000 pixels.
[[nodiscard]] InkMap ink_map(const Plane& grey, Pen pen);

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
