// The form of a data set's images: MNIST's, to which every picture for the network is then fitted, or any other, in which case
// pictures are used as they are. A checkpoint stores it, since the weights do not show it.
#pragma once

#include "data/dataset.hpp"

namespace trainer::data {

inline constexpr const char* kMnistFingerprint = "crc32:e9f4d8b3-e0cb4ad2-91373bdf-4ab9eff9";

// Whether images of `shape` are light digits on black, their longer side 20/28 of the image and their centre of mass in its
// middle, as MNIST's makers framed them. Of many images a thousand are checked; nine of ten must have this form.
bool have_digit_form(std::span<const std::uint8_t> images, const Shape& shape);

}  // namespace trainer::data
