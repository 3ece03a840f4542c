// Tells ink from paper, as a reader does: by comparing a pixel with the paper around it. A photograph is darker towards one edge or in
// a corner, its noise differs from place to place, and its paper is white, grey or a blackboard.
#pragma once

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

// The threshold that divides the values above `least` into two classes with the largest variance between them
// (N. Otsu, "A threshold selection method from gray-level histograms", 1979); `least` if there are none.
[[nodiscard]] float otsu_threshold(const Plane& plane, float least);

}  // namespace trainer
