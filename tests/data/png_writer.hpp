// PNG files for tests: grey, grey + alpha, RGB, RGBA, of 8 or 16 bits. Uncompressed ("stored"), so that it
// needs no library; every decoder reads it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "data/image.hpp"

namespace trainer::test {

inline void append_big_endian32(std::vector<std::uint8_t>& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(value >> shift));
}

inline std::uint32_t png_checksum(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

inline void append_png_chunk(std::vector<std::uint8_t>& png, std::string_view type,
                             std::span<const std::uint8_t> data) {
  append_big_endian32(png, static_cast<std::uint32_t>(data.size()));
  const std::size_t begin = png.size();
  png.insert(png.end(), type.begin(), type.end());
  png.insert(png.end(), data.begin(), data.end());
  append_big_endian32(png, png_checksum(std::span(png).subspan(begin)));
}

inline std::vector<std::uint8_t> zlib_stored(std::span<const std::uint8_t> contents) {
  constexpr std::size_t kLargestBlock = 65535;
  std::vector<std::uint8_t> zlib{0x78, 0x01};
  std::size_t at = 0;
  do {
    const std::size_t size = std::min(kLargestBlock, contents.size() - at);
    const bool last = at + size == contents.size();
    zlib.insert(zlib.end(), {static_cast<std::uint8_t>(last ? 1 : 0), static_cast<std::uint8_t>(size),
                             static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(~size),
                             static_cast<std::uint8_t>(~size >> 8)});
    const auto block = contents.subspan(at, size);
    zlib.insert(zlib.end(), block.begin(), block.end());
    at += size;
  } while (at < contents.size());
  std::uint32_t a = 1;
  std::uint32_t b = 0;
  for (const std::uint8_t byte : contents) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  append_big_endian32(zlib, b << 16 | a);
  return zlib;
}

// A PNG around any zlib stream, right for the picture or not.
inline std::vector<std::uint8_t> png_around(const data::Image& image, std::span<const std::uint8_t> zlib,
                                            int bits = 8) {
  constexpr std::uint8_t kColourTypes[] = {0, 0, 4, 2, 6};  // by channels
  std::vector<std::uint8_t> header;
  append_big_endian32(header, static_cast<std::uint32_t>(image.width));
  append_big_endian32(header, static_cast<std::uint32_t>(image.height));
  header.insert(header.end(), {static_cast<std::uint8_t>(bits), kColourTypes[image.channels], 0, 0, 0});
  std::vector<std::uint8_t> png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  append_png_chunk(png, "IHDR", header);
  append_png_chunk(png, "IDAT", zlib);
  append_png_chunk(png, "IEND", {});
  return png;
}

// The picture as a PNG file. With 16 bits, a value v is written as v * 257, so that it reads back as v.
inline std::vector<std::uint8_t> encode_png(const data::Image& image, int bits = 8) {
  const auto row = static_cast<std::size_t>(image.width * image.channels);
  std::vector<std::uint8_t> raw;
  for (std::size_t at = 0; at < image.pixels.size(); ++at) {
    if (at % row == 0) raw.push_back(0);  // no row filter
    raw.insert(raw.end(), static_cast<std::size_t>(bits / 8), image.pixels[at]);
  }
  return png_around(image, zlib_stored(raw), bits);
}

}  // namespace trainer::test
