#include "data/png.hpp"

#include <array>
#include <libdeflate.h>
#include <memory>
#include <new>
#include <span>
#include <string_view>

namespace trainer::data {
namespace {

using ByteSpan = std::span<const std::uint8_t>;

constexpr int kLevel = 9;

struct FreeCompressor {
  void operator()(libdeflate_compressor* it) const { libdeflate_free_compressor(it); }
};

void append_big_endian32(std::vector<std::uint8_t>& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(value >> shift));
}

// Length, type, data, and the checksum of type and data.
void append_chunk(std::vector<std::uint8_t>& png, std::string_view type, ByteSpan data) {
  append_big_endian32(png, static_cast<std::uint32_t>(data.size()));
  const std::size_t begin = png.size();
  png.insert(png.end(), type.begin(), type.end());
  png.insert(png.end(), data.begin(), data.end());
  const ByteSpan checked = ByteSpan(png).subspan(begin);
  append_big_endian32(png, libdeflate_crc32(0, checked.data(), checked.size()));
}

std::vector<std::uint8_t> header(const Image& image) {
  constexpr std::array<std::uint8_t, 5> kColourTypes{0, 0, 4, 2, 6};  // by channels
  std::vector<std::uint8_t> bytes;
  append_big_endian32(bytes, static_cast<std::uint32_t>(image.width));
  append_big_endian32(bytes, static_cast<std::uint32_t>(image.height));
  const std::uint8_t colour_type = kColourTypes.at(static_cast<std::size_t>(image.channels));
  bytes.insert(bytes.end(), {8, colour_type, 0, 0, 0});
  return bytes;
}

// Every row begins with its filter's number: 0, none.
std::vector<std::uint8_t> rows_of(const Image& image) {
  const auto row = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.channels);
  std::vector<std::uint8_t> rows;
  rows.reserve((row + 1) * static_cast<std::size_t>(image.height));
  for (std::size_t at = 0; at < image.pixels.size(); ++at) {
    if (at % row == 0) rows.push_back(0);
    rows.push_back(image.pixels[at]);
  }
  return rows;
}

std::vector<std::uint8_t> compressed(ByteSpan contents) {
  const std::unique_ptr<libdeflate_compressor, FreeCompressor> compressor(
      libdeflate_alloc_compressor(kLevel));
  if (!compressor) throw std::bad_alloc();
  std::vector<std::uint8_t> packed(libdeflate_zlib_compress_bound(compressor.get(), contents.size()));
  packed.resize(libdeflate_zlib_compress(compressor.get(), contents.data(), contents.size(), packed.data(),
                                         packed.size()));
  return packed;
}

}  // namespace

std::vector<std::uint8_t> png_file(const Image& image) {
  std::vector<std::uint8_t> png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  append_chunk(png, "IHDR", header(image));
  append_chunk(png, "IDAT", compressed(rows_of(image)));
  append_chunk(png, "IEND", {});
  return png;
}

}  // namespace trainer::data
