// BMP files for tests: 24 bits a pixel, rows from the bottom up, as most programs write them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "data/image.hpp"

namespace trainer::test {

// `image` has 3 channels.
inline std::vector<std::uint8_t> encode_bmp(const data::Image& image) {
  constexpr std::uint32_t kHeader = 54;
  const auto width = static_cast<std::size_t>(image.width);
  const auto height = static_cast<std::size_t>(image.height);
  const std::size_t stride = (width * 3 + 3) / 4 * 4;
  std::vector<std::uint8_t> bytes{'B', 'M'};
  const auto append = [&bytes](std::size_t value, int count) {
    for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  };
  append(kHeader + stride * height, 4);
  append(0, 4);
  append(kHeader, 4);
  append(40, 4);  // size of the second header
  append(width, 4);
  append(height, 4);
  append(1, 2);   // planes
  append(24, 2);  // bits a pixel
  bytes.resize(kHeader, 0);
  for (std::size_t row = height; row-- > 0;) {
    for (std::size_t column = 0; column < width; ++column) {
      const std::uint8_t* pixel = &image.pixels[(row * width + column) * 3];
      bytes.insert(bytes.end(), {pixel[2], pixel[1], pixel[0]});
    }
    bytes.resize(bytes.size() + stride - width * 3, 0);
  }
  return bytes;
}

}  // namespace trainer::test
