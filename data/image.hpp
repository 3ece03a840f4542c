// One picture as bytes, from a PNG, JPEG or BMP file. image.cpp is the only file that sees stb_image;
// anything that file needs to be told about pictures is here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace trainer::data {

struct Image {
  int height = 0;
  int width = 0;
  int channels = 0;                  // 1 grey, 2 grey + alpha, 3 RGB, 4 RGB + alpha
  std::vector<std::uint8_t> pixels;  // [height, width, channels]; 16-bit files are reduced to 8
};

// Reads the picture at `path`. `channels` 0 keeps what the file has; 1 makes it grey (0.30 R + 0.59 G + 0.11
// B) and 3 RGB, a transparent picture being laid on white, as it is usually seen; 4 adds an alpha of 255 if
// there is none. The size is checked from the header before decoding: at most kLargestEdge each way. Throws
// DataError naming the file: unreadable, no picture, too large, damaged or cut short.
Image read_image(const std::filesystem::path& path, int channels = 0);

}  // namespace trainer::data
