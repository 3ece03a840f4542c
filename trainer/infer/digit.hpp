// Makes a picture of a digit look like the images that the network learned from. MNIST's makers scaled each digit into 20 x 20
// pixels and put its centre of mass into the middle of 28 x 28; a digit that is drawn, scanned or rendered needs the same,
// whatever its size, colours and place in the picture. A picture that is framed like that already is only resized, so that images
// of the data set itself come out unchanged.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "data/dataset.hpp"
#include "data/image.hpp"

namespace trainer {

// A picture in which there is nothing to recognise. The message says why, without the picture's name.
class PictureError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The digit in `picture` as [height, width] grey bytes, light on black: the digit's longer side takes 20/28 of the shorter of
// height and width. The digit may be dark on light or light on dark: the median of the picture's border serves as its background.
// Throws PictureError if nothing stands out from the background.
[[nodiscard]] std::vector<std::uint8_t> fit_digit(const data::Image& picture, int height, int width);

// `picture` as [height, width, channels] bytes of `shape` (1 or 3 channels), stretched to fit; for data sets
// whose images are not single digits. Transparent parts are laid on white.
[[nodiscard]] std::vector<std::uint8_t> fit_picture(const data::Image& picture, const Shape& shape);

}  // namespace trainer
