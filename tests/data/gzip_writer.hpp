// Gzip members for tests, with every optional field that a header can have.
#pragma once

#include <cstdint>
#include <libdeflate.h>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace trainer::test {

struct GzipFields {
  std::string name = {};                 // written if not empty
  std::string comment = {};              // written if not empty
  std::vector<std::uint8_t> extra = {};  // written if not empty
  bool header_checksum = false;
  int level = 6;  // 0 stores
};

inline void append_little_endian(std::vector<std::uint8_t>& bytes, std::uint32_t value, int count) {
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

inline std::vector<std::uint8_t> deflate(std::span<const std::uint8_t> contents, int level) {
  const std::unique_ptr<libdeflate_compressor, decltype(&libdeflate_free_compressor)> compressor(
      libdeflate_alloc_compressor(level), libdeflate_free_compressor);
  std::vector<std::uint8_t> packed(libdeflate_deflate_compress_bound(compressor.get(), contents.size()));
  packed.resize(libdeflate_deflate_compress(compressor.get(), contents.data(), contents.size(), packed.data(),
                                            packed.size()));
  return packed;
}

inline std::vector<std::uint8_t> gzip(std::span<const std::uint8_t> contents, const GzipFields& fields = {}) {
  const int flags = (fields.header_checksum ? 2 : 0) | (fields.extra.empty() ? 0 : 4) |
                    (fields.name.empty() ? 0 : 8) | (fields.comment.empty() ? 0 : 16);
  std::vector<std::uint8_t> bytes{0x1f, 0x8b, 8, static_cast<std::uint8_t>(flags), 0, 0, 0, 0, 0, 3};
  if (!fields.extra.empty()) {
    append_little_endian(bytes, static_cast<std::uint32_t>(fields.extra.size()), 2);
    bytes.insert(bytes.end(), fields.extra.begin(), fields.extra.end());
  }
  for (const std::string& text : {fields.name, fields.comment}) {
    if (text.empty()) continue;
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.push_back(0);
  }
  if (fields.header_checksum) append_little_endian(bytes, libdeflate_crc32(0, bytes.data(), bytes.size()), 2);
  const std::vector<std::uint8_t> packed = deflate(contents, fields.level);
  bytes.insert(bytes.end(), packed.begin(), packed.end());
  append_little_endian(bytes, libdeflate_crc32(0, contents.data(), contents.size()), 4);
  append_little_endian(bytes, static_cast<std::uint32_t>(contents.size()), 4);
  return bytes;
}

}  // namespace trainer::test
