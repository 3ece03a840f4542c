// InputFile: a regular file, open for reading, whose size is known before anything is read or allocated.
// Folders, pipes and devices are refused, for they have no size to check a header against.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "data/bytes.hpp"

namespace trainer::data {

class InputFile {
 public:
  // Throws DataError with the system's reason where the file cannot be opened or is not a regular file.
  explicit InputFile(std::filesystem::path path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }

  // Fills `bytes` from the given offset. Throws DataError where the file ends before `bytes` is full.
  void read_at(std::uint64_t offset, std::span<std::uint8_t> bytes) const;

  // The whole file. Throws DataError where it is larger than `most` bytes.
  Bytes read_all(std::uint64_t most) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace trainer::data
