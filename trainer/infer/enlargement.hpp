// Undoing an enlargement. A picture may be a small image that someone scaled up to look at it; averaging it
// down again would blur what interpolation already blurred, and cost a network a quarter of a percent of
// accuracy.
#pragma once

#include <optional>

#include "trainer/infer/resample.hpp"

namespace trainer {

// The image of height x width whose enlargement (nearest pixel, linear or cubic interpolation) is `picture`,
// by least squares; nothing if no enlargement of such an image comes close, or if the picture is smaller than
// that.
[[nodiscard]] std::optional<Plane> undo_enlargement(const Plane& picture, int height, int width);

}  // namespace trainer
