// Checks the structure of PNG, JPEG and BMP files for damage that stb_image does not report.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <fmt/format.h>
#include <libdeflate.h>
#include <numeric>
#include <string_view>

#include "data/image.hpp"
#include "data/input_file.hpp"

namespace trainer::data {
namespace {

using ByteSpan = std::span<const std::uint8_t>;

constexpr std::array<std::uint8_t, 8> kPngStart{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::array<std::uint8_t, 2> kJpegStart{0xff, 0xd8};
constexpr std::array<std::uint8_t, 2> kBmpStart{'B', 'M'};

bool starts_with(ByteSpan bytes, ByteSpan start) {
  return bytes.size() >= start.size() && std::equal(start.begin(), start.end(), bytes.begin());
}

// A PNG file is a sequence of chunks: length, four letters, data, checksum of letters and data. IEND is the last.
std::string png_damage(ByteSpan bytes) {
  constexpr std::size_t kFrame = 12;
  for (std::size_t at = kPngStart.size();;) {
    const std::size_t left = bytes.size() - at;
    if (left < kFrame) return fmt::format("cut short at {} bytes: no IEND chunk", bytes.size());
    const std::size_t length = big_endian32(bytes, at);
    const std::string_view letters(reinterpret_cast<const char*>(&bytes[at + 4]), 4);
    if (length > left - kFrame) {
      return fmt::format("cut short: chunk {} at offset {} has {} bytes, but {} are left", letters, at,
                         length, left - kFrame);
    }
    const std::uint32_t checksum = libdeflate_crc32(0, &bytes[at + 4], length + 4);
    const std::uint32_t stated = big_endian32(bytes, at + 8 + length);
    if (checksum != stated) {
      return fmt::format("damaged: chunk at offset {} has checksum 0x{:08x}, and the file says 0x{:08x}", at,
                         checksum, stated);
    }
    if (letters == "IEND") return {};
    at += kFrame + length;
  }
}

// Checks the code tables of a JPEG file from `at` on: each has a number, the counts of codes of 1 to 16 bits, and the
// codes. stb_image of 2022 and 2023 writes past its table if one has more than 256 codes.
bool has_overlong_table(ByteSpan bytes, std::size_t at, std::size_t end) {
  constexpr std::size_t kCounts = 16;
  while (at < end && at + 1 < bytes.size()) {
    const ByteSpan rest = bytes.subspan(at + 1);
    const ByteSpan counts = rest.first(std::min(kCounts, rest.size()));  // for the decoder, the rest are 0
    const std::size_t codes = std::accumulate(counts.begin(), counts.end(), std::size_t{0});
    if (codes > 256) return true;
    at += 1 + kCounts + codes;
  }
  return false;
}

// Markers (ff and a kind) begin segments that state their length. The compressed image follows its segment and
// contains no markers but restarts, so that this visits every segment that the decoder will read.
std::string jpeg_damage(ByteSpan bytes) {
  constexpr std::uint8_t kStuffing = 0x00, kTables = 0xc4, kFirstRestart = 0xd0, kStart = 0xd8, kEnd = 0xd9;
  std::size_t at = 0;
  while (true) {
    while (at < bytes.size() && bytes[at] != 0xff) ++at;
    while (at < bytes.size() && bytes[at] == 0xff) ++at;
    if (at + 1 > bytes.size()) break;
    const std::uint8_t kind = bytes[at++];
    if (kind == kEnd) return {};
    if (kind == kStuffing || (kind >= kFirstRestart && kind <= kStart)) continue;
    if (at + 2 > bytes.size()) break;
    const std::size_t length = std::size_t{bytes[at]} << 8 | bytes[at + 1];
    if (kind == kTables && has_overlong_table(bytes, at + 2, at + length)) {
      return fmt::format("damaged: the code table at offset {} has more than 256 codes", at - 2);
    }
    at += std::max<std::size_t>(length, 2);
  }
  return fmt::format("cut short at {} bytes: no end-of-image marker", bytes.size());
}

// A BMP file has uncompressed rows, padded to four bytes, after a header that says where they begin.
std::string bmp_damage(ByteSpan bytes) {
  constexpr std::size_t kOldHeader = 12;
  constexpr std::size_t kShortest = 30;
  if (bytes.size() < kShortest) return fmt::format("cut short: {} bytes, no whole BMP header", bytes.size());
  const std::uint64_t begin = little_endian(bytes, 10, 4);
  const bool old = little_endian(bytes, 14, 4) == kOldHeader;
  const std::uint64_t width = old ? little_endian(bytes, 18, 2) : little_endian(bytes, 18, 4);
  const auto signed_height =
      static_cast<std::int32_t>(old ? little_endian(bytes, 20, 2) : little_endian(bytes, 22, 4));
  const auto height = static_cast<std::uint64_t>(std::abs(std::int64_t{signed_height}));
  if (width > kLargestSide || height > kLargestSide) return {};  // read_image() refuses its size
  const std::uint64_t bits = little_endian(bytes, old ? 24 : 28, 2);
  const std::uint64_t needed = begin + (width * bits + 31) / 32 * 4 * height;
  if (needed <= bytes.size()) return {};
  return fmt::format("cut short: {} bytes, and its header makes {}", bytes.size(), needed);
}

}  // namespace

std::string find_image_damage(ByteSpan bytes) {
  std::string damage;
  if (starts_with(bytes, kPngStart)) {
    damage = png_damage(bytes);
  } else if (starts_with(bytes, kJpegStart)) {
    damage = jpeg_damage(bytes);
  } else if (starts_with(bytes, kBmpStart)) {
    damage = bmp_damage(bytes);
  } else {
    return fmt::format("not a PNG, JPEG or BMP picture ({} bytes)", bytes.size());
  }
  return damage.empty() ? damage : "broken picture, " + damage;
}

}  // namespace trainer::data
