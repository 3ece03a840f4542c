// Important files are written such that a reader finds the old contents or the new ones, never only a part. write_file_durably
// writes under a temporary name in the same folder, flushes to the device, renames, and flushes the folder. AppendedFile appends
// a line or a record with one write, so that a killed process leaves whole lines. An error is one line: path, what failed, the system's
// reason, the next step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trainer/system/errors.hpp"

namespace trainer {

// An open file, a pipe's end or the like; closed with the object. Move-only.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}  // -1: none
  ~Descriptor() { (void)close(); }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }

  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] bool is_open() const { return number_ >= 0; }
  // False, with errno set, on a late write error, which network file systems may report here.
  bool close();

 private:
  int number_ = -1;
};

// "No space left on device: free space or choose another folder": the system's text for
// `error_number` (an errno value) and what to do about it.
[[nodiscard]] std::string reason_and_next_step(int error_number);

// Replaces `path`, or the file that it links to, by the concatenated `parts`. The folder must exist. On failure the old file is as it was, the
// temporary one is gone, and FileError is thrown. (Only if the rename succeeded and the folder's own flush failed is the new file
// already in place.) After a kill, `.NAME.partial` may stay behind; the next write of the same file replaces it. Each file may
// have one writer at a time: RunFolder holds a lock for its files.
void write_file_durably(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts);
void write_file_durably(const std::filesystem::path& path, std::string_view text);

// The whole file. Throws FileError if it is not a regular file, cannot be read, or is larger than `max_bytes`
// (checked before anything is allocated).
[[nodiscard]] std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

// An append-only file.
class AppendedFile {
 public:
  // Opens or creates `path`. Throws FileError.
  explicit AppendedFile(std::filesystem::path path);

  // Appends `bytes`, which the kernel has on return (they survive this process, not a power cut). Throws FileError with `what` they
  // are; the file then has the bytes that it had before.
  void append(std::string_view bytes, std::string_view what);

  // Flushes what was appended to the disk. Throws FileError.
  void flush();

 protected:
  std::filesystem::path path_;
  Descriptor file_;
};

// An append-only file with one JSON value per line.
class JsonLinesFile : public AppendedFile {
 public:
  // An unfinished last line, which a crash of the machine can leave, is cut off. Throws FileError.
  explicit JsonLinesFile(std::filesystem::path path);

  void write(const nlohmann::ordered_json& value);  // as append
};

// The values of a file of JSON lines, without an unfinished last line. Throws FileError with the line's number.
[[nodiscard]] std::vector<nlohmann::ordered_json> read_json_lines(const std::filesystem::path& path,
                                                                  std::uint64_t max_bytes);

// A new temporary folder, which is removed with the object.
class ScratchFolder {
 public:
  ScratchFolder();  // throws FileError
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace trainer
