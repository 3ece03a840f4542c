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

// A digit of a picture, framed like the training images.
struct FittedDigit {
  int x = 0;  // its box in the picture, in pixels
  int y = 0;
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> image;  // [height, width] of the training images, grey, light on black
};

// The digits in `picture`, row by row and from left to right, each as [height, width] grey bytes: its longer side takes 20/28 of the
// shorter of height and width. They may be dark on light or light on dark, in uneven light, on ruled paper. A picture that is framed
// like a training image is one digit. Throws PictureError if there is no digit, or if several cannot be separated.
[[nodiscard]] std::vector<FittedDigit> fit_digits(const data::Image& picture, int height, int width);

// `picture` as [height, width, channels] bytes of `shape` (1 or 3 channels), stretched to fit; for data sets
// whose images are not single digits.
[[nodiscard]] std::vector<std::uint8_t> fit_picture(const data::Image& picture, const Shape& shape);

}  // namespace trainer
