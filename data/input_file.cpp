#include "data/input_file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <libdeflate.h>
#include <memory>
#include <new>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace trainer::data {
namespace {

std::string system_reason() {
  return std::generic_category().message(errno);
}

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

// The offset after the zero-terminated text that begins at `at`; past the end of the file if no zero follows.
std::size_t after_text(ByteSpan file, std::size_t at) {
  while (at < file.size() && file[at] != 0) ++at;
  return at + 1;
}

// The offset of the compressed data in the member that begins at `start`.
std::size_t data_offset(const std::filesystem::path& path, ByteSpan file, std::size_t start) {
  if (file.size() - start < kHeaderBytes + kFooterBytes)
    refuse(path, "gzip data cut short: {} bytes from offset {}, and the smallest gzip member has {}",
           file.size() - start, start, kHeaderBytes + kFooterBytes);
  const ByteSpan head = file.subspan(start);
  if (head[0] != 0x1f || head[1] != 0x8b)
    refuse(path, "not gzip data: bytes {:02x} {:02x} at offset {}, not 1f 8b", head[0], head[1], start);
  if (head[2] != 8) refuse(path, "bad gzip header: compression method {}, not 8 (deflate)", head[2]);
  const unsigned flags = head[3];
  if ((flags & kReserved) != 0) refuse(path, "bad gzip header: reserved flags set (0x{:02x})", flags);
  std::size_t at = kHeaderBytes;
  if (flags & kExtraField) at += 2 + (little_endian(head, at, 2));
  if (flags & kFileName) at = after_text(head, at);
  if (flags & kComment) at = after_text(head, at);
  const std::size_t checked = at;
  if (flags & kHeaderChecksum) at += 2;
  if (at + kFooterBytes > head.size())
    refuse(path, "bad gzip header: its fields run to byte {} of a file of {}", start + at, file.size());
  if (flags & kHeaderChecksum) {
    const std::uint64_t stated = little_endian(head, checked, 2);
    const unsigned actual = libdeflate_crc32(0, head.data(), checked) & 0xffff;
    if (stated != actual) refuse(path, "bad gzip header: checksum 0x{:04x}, not 0x{:04x}", actual, stated);
  }
  return start + at;
}

void check_footer(const std::filesystem::path& path, ByteSpan rest, ByteSpan contents) {
  if (rest.size() < kFooterBytes)
    refuse(path, "gzip data cut short: {} of the last {} bytes (checksum and length) are there", rest.size(),
           kFooterBytes);
  const std::uint32_t checksum = libdeflate_crc32(0, contents.data(), contents.size());
  if (const std::uint64_t stated = little_endian(rest, 0, 4); checksum != stated)
    refuse(path, "gzip checksum: the contents have 0x{:08x}, the file says 0x{:08x}; it is damaged", checksum,
           stated);
  const auto length = static_cast<std::uint32_t>(contents.size());
  if (const std::uint64_t stated = little_endian(rest, 4, 4); length != stated)
    refuse(path, "gzip length: the contents have {} bytes, the file says {}; it is damaged", length, stated);
}

}  // namespace

std::uint64_t little_endian(ByteSpan bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

std::uint32_t big_endian32(ByteSpan bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 |
         std::uint32_t{bytes[at + 2]} << 8 | bytes[at + 3];
}

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: without it, opening a pipe that nobody writes to would wait forever.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) refuse(path_, "cannot be opened: {}", system_reason());
  struct stat status {};
  const bool regular = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular) {
    ::close(descriptor_);  // the destructor does not run after a throw from here
    refuse(path_, "is not a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() {
  ::close(descriptor_);
}

void InputFile::read_at(std::uint64_t offset, std::span<std::uint8_t> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        ::pread(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(path_, "cannot be read: {}", system_reason());
    if (got == 0)
      refuse(path_, "ended after {} bytes while it was read; it had {} when it was opened", offset + done,
             size_);
    done += static_cast<std::size_t>(got);
  }
}

Bytes InputFile::read_all(std::uint64_t most) const {
  if (size_ > most) refuse(path_, "holds {} bytes; at most {} are read", size_, most);
  Bytes bytes;
  bytes.resize(size_);
  read_at(0, bytes);
  return bytes;
}

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
    if (result != LIBDEFLATE_SUCCESS)
      refuse(path, "gzip data cut short or damaged: the file has {} bytes, and its last four say {} unpacked",
             file.size(), gzip_stated_length(file));
    check_footer(path, packed.subspan(used), room.first(made));
    written += made;
    at = file.size() - packed.size() + used + kFooterBytes;
  } while (at < file.size());
  return {written, false};
}

Bytes gunzip_start(const std::filesystem::path& path, ByteSpan file, std::size_t count) {
  // libdeflate cannot unpack only the start. But it writes front to back and stops at the first stored block (at
  // most 65,535 bytes) or copy (at most 258) that does not fit, so that at least the first half is written.
  constexpr std::size_t kRoom = std::size_t{128} << 10;
  std::vector<std::uint8_t> start(kRoom);
  const Unpacked unpacked = gunzip(path, file, start);
  return {start.begin(), start.begin() + static_cast<std::ptrdiff_t>(std::min(count, unpacked.bytes))};
}

bool is_gzip(ByteSpan start) {
  return start.size() >= 2 && start[0] == 0x1f && start[1] == 0x8b;
}

Bytes gunzip_outer(const std::filesystem::path& path, ByteSpan file) {
  constexpr std::size_t kMostTimes = 16, kRoom = std::size_t{64} << 10;
  Bytes inner;
  inner.resize(std::min<std::size_t>(gzip_stated_length(file), kMostTimes * file.size() + kRoom) +
               kGunzipMargin);
  const Unpacked unpacked = gunzip(path, file, inner);
  if (unpacked.more)
    refuse(path, "gzip data within gzip data that is {} times longer; unpack it", kMostTimes);
  inner.resize(unpacked.bytes);
  return inner;
}

std::uint32_t gzip_stated_length(ByteSpan file) {
  return static_cast<std::uint32_t>(little_endian(file.last(4), 0, 4));
}

}  // namespace trainer::data
