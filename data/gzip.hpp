// Gzip files, unpacked by libdeflate. The wrapper (RFC 1952) is read here, not by libdeflate, because its one
// "bad data" covers a wrong header, a wrong checksum and a file cut short, and each deserves a message of its
// own. Several members in a row and the optional header fields are valid and load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "data/bytes.hpp"

namespace trainer::data {

// Deflate makes at most 258 bytes out of two bits.
constexpr std::uint64_t kMostBytesPerGzipByte = 1032;

// Room to leave behind the expected contents. libdeflate takes the bits behind the end of its input for
// zeros, at most 8 bytes of them, and they may unpack to some 8 KiB before it notices; with less room, a file
// cut short would be reported as one too long.
constexpr std::size_t kGunzipMargin = std::size_t{32} << 10;

struct Unpacked {
  std::size_t bytes = 0;  // written to `out`
  bool more = false;      // the contents do not fit into `out`; what was written is then not to be used
};

// Unpacks `file`, the whole gzip file called `path`, into `out`; never writes past its end.
// Throws DataError (with `path`) for a wrong header, data cut short or damaged, a wrong checksum or length.
Unpacked gunzip(const std::filesystem::path& path, std::span<const std::uint8_t> file,
                std::span<std::uint8_t> out);

// The first `count` bytes of the contents, or all of them where they are fewer, at a bounded cost: no more
// than 128 KiB are unpacked. count is at most 1024. Throws as gunzip does.
Bytes gunzip_start(const std::filesystem::path& path, std::span<const std::uint8_t> file, std::size_t count);

// Length of the contents that the last four bytes of a gzip file give, modulo 2^32. `file` has at least 4
// bytes.
std::uint32_t gzip_stated_length(std::span<const std::uint8_t> file);

}  // namespace trainer::data
