// Makes the checksums of a mutated input right.
#include <cstring>
#include <libdeflate.h>
#include <memory>
#include <string_view>

#include "tests/fuzz/targets.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer::fuzz {

namespace {

using Bytes = std::vector<std::uint8_t>;

std::size_t big_endian(const Bytes& bytes, std::size_t at) {
  return std::size_t{bytes[at]} << 24 | std::size_t{bytes[at + 1]} << 16 | std::size_t{bytes[at + 2]} << 8 |
         bytes[at + 3];
}

// Repairs the checksum of the header at `at`, if it has one. Returns the offset of the packed data, beyond the end if there are none.
std::size_t packed_at(Bytes& file, std::size_t at) {
  const unsigned flags = file[at + 3];
  std::size_t to = at + 10;
  if ((flags & 4U) != 0 && to + 2 <= file.size()) to += 2 + file[to] + (std::size_t{file[to + 1]} << 8);
  for (const unsigned text : {8U, 16U}) {
    if ((flags & text) == 0) continue;
    while (to < file.size() && file[to] != 0) ++to;
    ++to;
  }
  if ((flags & 2U) != 0 && to + 2 <= file.size()) {
    const std::uint32_t checksum = libdeflate_crc32(0, &file[at], to - at);
    file[to] = static_cast<std::uint8_t>(checksum);
    file[to + 1] = static_cast<std::uint8_t>(checksum >> 8);
    to += 2;
  }
  return to;
}

}  // namespace

Bytes repaired_gzip(Bytes file) {
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  Bytes room(std::size_t{1} << 16);
  for (std::size_t at = 0; at + 18 <= file.size() && file[at] == 0x1f && file[at + 1] == 0x8b;) {
    const std::size_t packed = packed_at(file, at);
    if (packed >= file.size()) break;
    std::size_t used = 0, made = 0;
    const auto result = libdeflate_deflate_decompress_ex(
        decompressor.get(), &file[packed], file.size() - packed, room.data(), room.size(), &used, &made);
    if (result != LIBDEFLATE_SUCCESS) break;
    const std::size_t footer = packed + used;
    if (footer + 8 > file.size()) file.resize(footer + 8);
    const std::uint32_t checksum = libdeflate_crc32(0, room.data(), made);
    for (std::size_t i = 0; i < 4; ++i) {
      file[footer + i] = static_cast<std::uint8_t>(checksum >> (8 * i));
      file[footer + 4 + i] = static_cast<std::uint8_t>(made >> (8 * i));
    }
    at = footer + 8;
  }
  return file;
}

Bytes repaired_png(Bytes file) {
  constexpr std::string_view kStart = "\x89PNG\r\n\x1a\n";
  if (file.size() < kStart.size() || std::memcmp(file.data(), kStart.data(), kStart.size()) != 0) return file;
  for (std::size_t at = kStart.size(); at + 12 <= file.size();) {
    const std::size_t length = big_endian(file, at);
    if (length > file.size() - at - 12) break;
    const std::uint32_t checksum = libdeflate_crc32(0, &file[at + 4], length + 4);
    for (std::size_t i = 0; i < 4; ++i)
      file[at + 8 + length + i] = static_cast<std::uint8_t>(checksum >> (24 - 8 * i));
    at += length + 12;
  }
  return file;
}

Bytes repaired_safetensors(Bytes file) {
  constexpr std::string_view kKey = "\"content_sha256\":\"";
  constexpr std::size_t kDigits = 64;
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  const std::size_t key = text.find(kKey);
  if (key == std::string_view::npos || key + kKey.size() + kDigits > file.size()) return file;
  const auto digits = file.begin() + static_cast<std::ptrdiff_t>(key + kKey.size());
  std::fill_n(digits, kDigits, std::uint8_t{'0'});
  const std::string hash = sha256_hex(std::as_bytes(std::span(file)));
  std::copy(hash.begin(), hash.end(), digits);
  return file;
}

}  // namespace trainer::fuzz
