// A picture as the bytes of a PNG file, for pages that carry their pictures with them: 8 bits a channel, written by
// stb_image_write.
#pragma once

#include <cstdint>
#include <vector>

#include "data/image.hpp"

namespace trainer::data {

// `image` as read_image gives it: 1 to 4 channels, neither edge 0.
std::vector<std::uint8_t> png_file(const Image& image);

}  // namespace trainer::data
