// Looks through PNG, JPEG and BMP files for damage that stb_image does not report, for variants that it misreads and for the
// orientation; recognises the formats that are not read.
#include <algorithm>
#include <array>
#include <cstddef>
#include <libdeflate.h>
#include <numeric>
#include <string>
#include <string_view>
#include <tuple>

#include "data/image.hpp"
#include "data/input_file.hpp"

namespace trainer::data {
namespace {

using namespace std::string_view_literals;
using ByteSpan = std::span<const std::uint8_t>;
using Path = std::filesystem::path;

constexpr std::string_view kPngStart = "\x89PNG\r\n\x1a\n";
constexpr std::string_view kJpegStart = "\xff\xd8";

// The magic bytes of other formats: offset, signature, name. A HEIC or AVIF file may have the brand mif1 or msf1.
constexpr std::array<std::tuple<std::size_t, std::string_view, const char*>, 12> kOtherFormats{
    {{0, "GIF8", "GIF"},
     {0, "II*\0"sv, "TIFF"},
     {0, "MM\0*"sv, "TIFF"},
     {8, "WEBP", "WebP"},
     {4, "ftypavi", "AVIF"},
     {4, "ftyphe", "HEIC"},
     {4, "ftypmif1", "HEIC or AVIF"},
     {4, "ftypmsf1", "HEIC or AVIF"},
     {4, "jP  ", "JPEG 2000"},
     {4, "JXL ", "JPEG XL"},
     {0, "\xff\x0a", "JPEG XL"},
     {0, "%PDF", "PDF"}}};

bool has_at(ByteSpan bytes, std::size_t at, std::string_view signature) {
  return bytes.size() >= at + signature.size() &&
         std::equal(signature.begin(), signature.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
}

// The orientation in EXIF data, which have the structure of a TIFF file: its first directory has entries of tag, type, count and
// value. 1 (upright) if there is no such entry.
int exif_orientation(ByteSpan tiff) {
  constexpr std::size_t kOrientation = 0x0112, kEntry = 12;
  const bool big_endian = has_at(tiff, 0, "MM");
  const auto number = [&](std::size_t at, std::size_t count) {
    std::size_t value = 0;
    for (std::size_t i = 0; i < count && at + count <= tiff.size(); ++i)
      value = value << 8 | tiff[big_endian ? at + i : at + count - 1 - i];
    return value;
  };
  const std::size_t directory = number(4, 4);
  for (std::size_t i = 0; i < number(directory, 2); ++i) {
    const std::size_t entry = directory + 2 + i * kEntry;
    if (number(entry, 2) != kOrientation) continue;
    const std::size_t orientation = number(entry + 8, 2);
    return orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : 1;
  }
  return 1;
}

// Fills up the palette in the chunk at `at` with black, since stb_image reads uninitialised colours beyond a short one. The bits of
// an index and the colour type are in the first chunk, IHDR. Returns the new length.
std::size_t complete_palette(Bytes& bytes, std::size_t at, std::size_t length) {
  constexpr std::size_t kBits = 24, kColourType = 25, kIndexed = 3;
  if (at <= kColourType || bytes[kColourType] != kIndexed || bytes[kBits] > 8) return length;
  const std::size_t wanted = std::size_t{3} << bytes[kBits];
  if (length == 0 || length % 3 != 0 || length >= wanted) return length;  // the decoder refuses the first two
  bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at + 8 + length), wanted - length, 0);
  const auto write = [&](std::size_t to, std::size_t value) {
    for (std::size_t i = 0; i < 4; ++i) bytes[to + i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
  };
  write(at, wanted);
  write(at + 8 + wanted, libdeflate_crc32(0, &bytes[at + 4], wanted + 4));
  return wanted;
}

// A PNG file is a sequence of chunks: length, type (four letters), data, checksum of type and data. IEND is the last.
int check_png(const Path& path, Bytes& bytes) {
  constexpr std::size_t kFrame = 12;
  int orientation = 1;
  bool has_palette = false;
  for (std::size_t at = kPngStart.size();;) {
    const std::size_t left = bytes.size() - at;
    if (left < kFrame) refuse(path, "broken picture, cut short at {} bytes: no IEND chunk", bytes.size());
    std::size_t length = big_endian32(bytes, at);
    const std::string chunk_type(reinterpret_cast<const char*>(&bytes[at + 4]), 4);
    if (length > left - kFrame)
      refuse(path, "broken picture, cut short: chunk {} at offset {} has {} bytes, but {} are left",
             chunk_type, at, length, left - kFrame);
    const std::uint32_t checksum = libdeflate_crc32(0, &bytes[at + 4], length + 4);
    const std::uint32_t stated = big_endian32(bytes, at + 8 + length);
    if (checksum != stated)
      refuse(path,
             "broken picture, damaged: chunk at offset {} has checksum 0x{:08x}, and the file says 0x{:08x}",
             at, checksum, stated);
    if (chunk_type == "CgBI")
      refuse(path, "a PNG picture in Apple's CgBI variant; convert it to a standard PNG");
    if (chunk_type == "eXIf") orientation = exif_orientation(ByteSpan(bytes).subspan(at + 8, length));
    if (chunk_type == "PLTE") {  // of many, each would move the rest of the file
      if (has_palette) refuse(path, "broken picture, damaged: a second palette at offset {}", at);
      has_palette = true;
      length = complete_palette(bytes, at, length);
    }
    if (chunk_type == "IEND") return orientation;
    at += kFrame + length;
  }
}

// Checks the Huffman tables of a JPEG segment, from `at` to `end`: each has a number, the counts of codes of 1 to 16 bits, and the
// codes. stb_image of 2022 and 2023 writes past its own table if one has more than 256 codes.
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
int check_jpeg(const Path& path, ByteSpan bytes) {
  constexpr std::uint8_t kStuffing = 0x00, kFirstFrame = 0xc0, kLastFrame = 0xc2, kHuffmanTables = 0xc4,
                         kFirstRestart = 0xd0, kStart = 0xd8, kEnd = 0xd9, kScan = 0xda, kExif = 0xe1,
                         kAdobe = 0xee;
  constexpr int kMostScans =
      100;  // the decoder goes through the whole picture for each, which may have 10 bytes
  int orientation = 1, scans = 0;
  bool adobe = false;
  std::size_t at = 0;
  while (true) {
    while (at < bytes.size() && bytes[at] != 0xff) ++at;
    while (at < bytes.size() && bytes[at] == 0xff) ++at;
    if (at + 1 > bytes.size()) break;
    const std::uint8_t kind = bytes[at++];
    if (kind == kEnd) return orientation;
    if (kind == kStuffing || (kind >= kFirstRestart && kind <= kStart)) continue;
    if (at + 2 > bytes.size()) break;
    const std::size_t length = std::max<std::size_t>(std::size_t{bytes[at]} << 8 | bytes[at + 1], 2);
    const ByteSpan segment = bytes.subspan(at, std::min(length, bytes.size() - at));
    if (kind == kHuffmanTables && has_overlong_table(bytes, at + 2, at + length))
      refuse(path, "broken picture, damaged: the Huffman table at offset {} has more than 256 codes", at - 2);
    if (kind == kScan && ++scans > kMostScans)
      refuse(path, "a JPEG picture in more than {} scans; convert it to one without progressive scans",
             kMostScans);
    if (kind == kExif && has_at(segment, 2, "Exif\0\0"sv)) orientation = exif_orientation(segment.subspan(8));
    adobe = adobe || (kind == kAdobe && has_at(segment, 2, "Adobe"));
    if (kind >= kFirstFrame && kind <= kLastFrame && segment.size() > 7 && segment[7] == 4 && !adobe)
      refuse(path, "a CMYK JPEG picture that does not say how its inks are stored; convert it to RGB");
    at += length;
  }
  refuse(path, "broken picture, cut short at {} bytes: no end-of-image marker", bytes.size());
}

// stb_image of 2021 reads colours beyond a short palette, refuses a gap before the pixel array, and looks for the masks of a
// BITMAPV2INFOHEADER or BITMAPV3INFOHEADER behind it, but they always follow the fields of a BITMAPINFOHEADER. The pixel array
// starts at `begin`.
void simplify_bmp(Bytes& bytes, std::size_t begin, std::size_t header, std::size_t bits, bool masks) {
  constexpr std::size_t kFileHeader = 14, kCoreHeader = 12, kInfoHeader = 40, kV4Header = 108;
  const auto write = [&](std::size_t at, std::size_t value) {
    for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
  };
  const std::size_t palette = kFileHeader + header;
  std::size_t wanted = palette;
  if (bits <= 8) {
    wanted += (std::size_t{1} << bits) * (header == kCoreHeader ? 3 : 4);
  } else if (header > kCoreHeader && header < kV4Header) {
    write(kFileHeader, kInfoHeader);
    wanted = kFileHeader + kInfoHeader + (masks ? 12 : 0);
  }
  const auto rows = bytes.begin() + static_cast<std::ptrdiff_t>(begin);
  if (begin > wanted) bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(wanted), rows);
  if (begin < wanted && (bits > 8 || begin <= palette)) return;  // the decoder refuses it
  if (begin < wanted) bytes.insert(rows, wanted - begin, 0);
  write(10, wanted);
}

// A BMP file has uncompressed rows, padded to four bytes, after headers that say where they begin.
void check_bmp(const Path& path, Bytes& bytes) {
  constexpr std::size_t kShortestOld = 30, kShortest = 54, kRle8 = 1, kRle4 = 2, kMasks = 3;
  const bool old = bytes.size() >= kShortestOld && little_endian(bytes, 14, 4) == 12;
  if (bytes.size() < (old ? kShortestOld : kShortest))
    refuse(path, "broken picture, cut short: {} bytes, no whole BMP header", bytes.size());
  const std::uint64_t begin = little_endian(bytes, 10, 4);
  const std::uint64_t width = little_endian(bytes, 18, old ? 2 : 4);
  const auto signed_height = static_cast<std::int32_t>(little_endian(bytes, old ? 20 : 22, old ? 2 : 4));
  const auto height = static_cast<std::uint64_t>(std::abs(std::int64_t{signed_height}));
  const auto signed_width = static_cast<std::int32_t>(width);
  if (signed_width < 1 || height == 0)
    refuse(path, "broken picture: its header says {}x{} pixels (height x width)", height, signed_width);
  const std::uint64_t bits = little_endian(bytes, old ? 24 : 28, 2);
  const std::uint64_t compression = old ? 0 : little_endian(bytes, 30, 4);
  if (compression == kRle8 || compression == kRle4)
    refuse(path, "a BMP picture with RLE compression, which is not read; convert it to PNG or JPEG");
  if (width * height > kMostPixels) return;  // read_image() refuses its size
  const std::uint64_t needed = begin + (width * bits + 31) / 32 * 4 * height;
  if (needed > bytes.size())
    refuse(path, "broken picture, cut short: {} bytes, but its header requires {}", bytes.size(), needed);
  simplify_bmp(bytes, begin, little_endian(bytes, 14, 4), bits, compression == kMasks);
}

}  // namespace

int check_image_file(const Path& path, Bytes& bytes) {
  if (has_at(bytes, 0, kPngStart)) return check_png(path, bytes);
  if (has_at(bytes, 0, kJpegStart)) return check_jpeg(path, bytes);
  for (const auto& [at, signature, name] : kOtherFormats)
    if (has_at(bytes, at, signature))
      refuse(path, "a picture in the format {}, which is not read; convert it to PNG or JPEG", name);
  if (!has_at(bytes, 0, "BM")) refuse(path, "not a PNG, JPEG or BMP picture ({} bytes)", bytes.size());
  check_bmp(path, bytes);
  return 1;
}

}  // namespace trainer::data
