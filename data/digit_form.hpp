// The form of a data set's images: MNIST's, which a network expects of every picture then, or any other, in which pictures are
// taken as they are. A checkpoint keeps it, since the weights do not show it.
#pragma once

#include "data/dataset.hpp"

namespace trainer::data {

inline constexpr const char* kMnistFingerprint = "crc32:e9f4d8b3-e0cb4ad2-91373bdf-4ab9eff9";

// Whether images of `shape` are light digits on black, their longer side 20/28 of the image and their centre of mass in its
// middle, as MNIST's makers framed them. Of many images a thousand are looked at, and nine of ten must be so.
bool have_digit_form(std::span<const std::uint8_t> images, const Shape& shape);

}  // namespace trainer::data
