// The bytes of a file (InputFile), and the contents of a gzip file (gunzip).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fmt/format.h>
#include <span>
#include <utility>

#include "data/dataset.hpp"

namespace trainer::data {

// Throws a DataError whose message begins with `path`.
template <class... Values>
[[noreturn]] void refuse(const std::filesystem::path& path, fmt::format_string<Values...> text,
                         Values&&... values) {
  throw DataError(fmt::format("{}: {}", path.string(), fmt::format(text, std::forward<Values>(values)...)));
}

// The unsigned number in the `count` bytes from `at` on.
std::uint64_t little_endian(std::span<const std::uint8_t> bytes, std::size_t at, std::size_t count);
std::uint32_t big_endian32(std::span<const std::uint8_t> bytes, std::size_t at);

// A regular file, open for reading, whose size is known before anything is read or allocated. Folders, pipes and devices
// are refused because they have no size to check a header against.
class InputFile {
 public:
  // Throws DataError if the file cannot be opened, with the system's reason, or is not a regular file.
  explicit InputFile(std::filesystem::path path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }

  // Fills `bytes` from the given offset. Throws DataError if the file ends before `bytes` is full.
  void read_at(std::uint64_t offset, std::span<std::uint8_t> bytes) const;

  // Reads the whole file. Throws DataError if it is larger than `most` bytes.
  Bytes read_all(std::uint64_t most) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

// Gzip files, unpacked by libdeflate. The wrapper (RFC 1952) is read here, not by libdeflate, whose single
// "bad data" error covers a wrong header, a wrong checksum and a truncated file; each needs a message of its own.
// Several members in a row and the optional header fields are accepted.

// Deflate expands two bits to at most 258 bytes.
constexpr std::uint64_t kMostBytesPerGzipByte = 1032;

// Room to leave after the expected contents. libdeflate reads up to 8 bytes of zeros after the end of its input,
// and these may unpack to some 8 KiB before it notices; with less room, a truncated file would be reported as
// too long.
constexpr std::size_t kGunzipMargin = std::size_t{32} << 10;

struct Unpacked {
  std::size_t bytes = 0;  // written to `out`
  bool more = false;      // the contents do not fit into `out`, and the bytes written must not be used
};

// Unpacks `file`, the whole gzip file called `path`, into `out`; never writes past the end of `out`.
// Throws DataError (with `path`) for a wrong header, truncated or damaged data, a wrong checksum or length.
Unpacked gunzip(const std::filesystem::path& path, std::span<const std::uint8_t> file,
                std::span<std::uint8_t> out);

// The first `count` bytes of the contents, or all of them if there are fewer, at a bounded cost: at most 128 KiB
// are unpacked. count is at most 1024. Throws like gunzip.
Bytes gunzip_start(const std::filesystem::path& path, std::span<const std::uint8_t> file, std::size_t count);

bool is_gzip(std::span<const std::uint8_t> start);  // whether gzip data begins with these bytes

// The contents of a file that was packed twice: gzip data again, hardly longer than the file. Throws like gunzip.
Bytes gunzip_outer(const std::filesystem::path& path, std::span<const std::uint8_t> file);

// The length of the contents modulo 2^32, as stated in the last four bytes of a gzip file. `file` has at least
// 4 bytes.
std::uint32_t gzip_stated_length(std::span<const std::uint8_t> file);

}  // namespace trainer::data
