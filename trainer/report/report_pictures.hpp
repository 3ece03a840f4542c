// Pixels and weights as pictures for a page.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.hpp"
#include "data/image.hpp"

namespace trainer {

inline constexpr int kLargestShownEdge = 64;

// An image of a data set, [h, w, c], as it is looked at: grey, or in colour where it has three channels and
// more. Larger ones are averaged down to kLargestShownEdge.
data::Image shown_image(std::span<const std::uint8_t> pixels, const data::ImageShape& shape);

// Weights [out, h, w, c] as one picture an output, `most` at the most. All share one scale, so that weak
// filters look weak. Three channels are red, green and blue around grey; otherwise the channels' sum goes
// from blue (negative) over white to orange (positive).
std::vector<data::Image> weight_pictures(const std::vector<float>& weights, const data::ImageShape& shape,
                                         std::size_t most);

}  // namespace trainer
