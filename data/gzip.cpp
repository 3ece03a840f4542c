#include "data/gzip.hpp"

#include <algorithm>
#include <libdeflate.h>
#include <memory>
#include <new>

#include "data/refuse.hpp"

namespace trainer::data {
namespace {

using ByteSpan = std::span<const std::uint8_t>;

constexpr std::size_t kHeaderBytes = 10;
constexpr std::size_t kFooterBytes = 8;
constexpr unsigned kHeaderChecksum = 2, kExtraField = 4, kFileName = 8, kComment = 16, kReserved = 0xe0;

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* it) const { libdeflate_free_decompressor(it); }
};
using Decompressor = std::unique_ptr<libdeflate_decompressor, FreeDecompressor>;

Decompressor make_decompressor() {
  Decompressor made(libdeflate_alloc_decompressor());
  if (!made) throw std::bad_alloc();
  return made;
}

std::uint32_t little_endian32(ByteSpan bytes) {
  return bytes[0] | std::uint32_t{bytes[1]} << 8 | std::uint32_t{bytes[2]} << 16 |
         std::uint32_t{bytes[3]} << 24;
}

// Offset just behind the text that begins at `at` and ends with a zero; past the end of the file if none
// does.
std::size_t after_text(ByteSpan file, std::size_t at) {
  while (at < file.size() && file[at] != 0) ++at;
  return at + 1;
}

// Offset of the compressed data of the member that begins at `start`.
std::size_t data_offset(const std::filesystem::path& path, ByteSpan file, std::size_t start) {
  if (file.size() - start < kHeaderBytes + kFooterBytes) {
    refuse(path, "gzip data cut short: {} bytes from offset {}, and the smallest gzip member has {}",
           file.size() - start, start, kHeaderBytes + kFooterBytes);
  }
  const ByteSpan head = file.subspan(start);
  if (head[0] != 0x1f || head[1] != 0x8b) {
    refuse(path, "not gzip data: bytes {:02x} {:02x} at offset {}, not 1f 8b", head[0], head[1], start);
  }
  if (head[2] != 8) refuse(path, "bad gzip header: compression method {}, not 8 (deflate)", head[2]);
  const unsigned flags = head[3];
  if ((flags & kReserved) != 0) refuse(path, "bad gzip header: reserved flags set (0x{:02x})", flags);
  std::size_t at = kHeaderBytes;
  if (flags & kExtraField) at += 2 + (head[at] | std::size_t{head[at + 1]} << 8);
  if (flags & kFileName) at = after_text(head, at);
  if (flags & kComment) at = after_text(head, at);
  const std::size_t checked = at;
  if (flags & kHeaderChecksum) at += 2;
  if (at + kFooterBytes > head.size()) {
    refuse(path, "bad gzip header: its fields run to byte {} of a file of {}", start + at, file.size());
  }
  if (flags & kHeaderChecksum) {
    const unsigned stated = head[checked] | unsigned{head[checked + 1]} << 8;
    const unsigned actual = libdeflate_crc32(0, head.data(), checked) & 0xffff;
    if (stated != actual) refuse(path, "bad gzip header: checksum 0x{:04x}, not 0x{:04x}", actual, stated);
  }
  return start + at;
}

void check_footer(const std::filesystem::path& path, ByteSpan rest, ByteSpan contents) {
  if (rest.size() < kFooterBytes) {
    refuse(path, "gzip data cut short: {} of the last {} bytes (checksum and length) are there", rest.size(),
           kFooterBytes);
  }
  const std::uint32_t checksum = libdeflate_crc32(0, contents.data(), contents.size());
  if (const std::uint32_t stated = little_endian32(rest); checksum != stated) {
    refuse(path, "gzip checksum: the contents have 0x{:08x}, the file says 0x{:08x}; it is damaged", checksum,
           stated);
  }
  const auto length = static_cast<std::uint32_t>(contents.size());
  if (const std::uint32_t stated = little_endian32(rest.subspan(4)); length != stated) {
    refuse(path, "gzip length: the contents have {} bytes, the file says {}; it is damaged", length, stated);
  }
}

}  // namespace

Unpacked gunzip(const std::filesystem::path& path, ByteSpan file, std::span<std::uint8_t> out) {
  const Decompressor decompressor = make_decompressor();
  std::size_t at = 0;
  std::size_t written = 0;
  do {
    const ByteSpan packed = file.subspan(data_offset(path, file, at));
    const std::span<std::uint8_t> room = out.subspan(written);
    std::size_t used = 0;
    std::size_t made = 0;
    const libdeflate_result result = libdeflate_deflate_decompress_ex(
        decompressor.get(), packed.data(), packed.size(), room.data(), room.size(), &used, &made);
    if (result == LIBDEFLATE_INSUFFICIENT_SPACE) return {out.size(), true};
    if (result != LIBDEFLATE_SUCCESS) {
      refuse(path, "gzip data cut short or damaged: the file has {} bytes, and its last four say {} unpacked",
             file.size(), gzip_stated_length(file));
    }
    check_footer(path, packed.subspan(used), room.first(made));
    written += made;
    at = file.size() - packed.size() + used + kFooterBytes;
  } while (at < file.size());
  return {written, false};
}

Bytes gunzip_start(const std::filesystem::path& path, ByteSpan file, std::size_t count) {
  // libdeflate has no "only the start". But it writes front to back and gives up at the first stored block
  // (at most 65,535 bytes) or copy (at most 258) that does not fit, so that the first half is always there.
  constexpr std::size_t kRoom = std::size_t{128} << 10;
  Bytes start(kRoom, 0);
  const Unpacked unpacked = gunzip(path, file, start);
  start.resize(std::min(count, unpacked.bytes));
  return start;
}

std::uint32_t gzip_stated_length(ByteSpan file) {
  return little_endian32(file.last(4));
}

}  // namespace trainer::data
