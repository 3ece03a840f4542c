// Files that matter are written such that a reader finds the old contents or the new ones, never a part of them.
// write_file_durably writes under a temporary name in the same folder, flushes to the device, renames, and flushes the
// folder. JsonLinesFile appends a line with one write, so that a killed process leaves whole lines.
// Errors are one line: path, what failed, the system's reason, the next step.
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
  // False, with errno set, for a late error of a write, as network file systems have them.
  bool close();

 private:
  int number_ = -1;
};

// "No space left on device: free space or choose another folder with --out": the system's text for
// `error_number` (an errno value) and what to do about it.
[[nodiscard]] std::string reason_and_next_step(int error_number);

// Replaces `path` by a file of `parts`, one after the other. The folder must exist. On failure the old file
// is as it was, the temporary one is gone, and FileError is thrown. (Only where the rename succeeded and the
// folder's own flush failed is the new file in place already.) After a kill, `.NAME.partial` may stay behind;
// the next write of the same file takes its place. One writer a file at a time: RunFolder holds a lock for
// its files.
void write_file_durably(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts);
void write_file_durably(const std::filesystem::path& path, std::string_view text);

// The whole file. Throws FileError if it is not a regular file, cannot be read, or is larger than `max_bytes`
// (checked before anything is allocated).
[[nodiscard]] std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

// A file of one JSON value a line, appended to.
class JsonLinesFile {
 public:
  // Opens or creates `path` for appending. An unfinished last line, as a crash of the machine leaves it, is
  // cut off. Throws FileError.
  explicit JsonLinesFile(std::filesystem::path path);

  // Appends `value` as one line, in the kernel's hands on return (it survives this process, not a power cut).
  // Throws FileError; the file then has the lines that it had before.
  void write(const nlohmann::ordered_json& value);

  // Has the lines on the disk on return. Throws FileError.
  void flush();

 private:
  std::filesystem::path path_;
  Descriptor file_;
};

// The values of a file of JSON lines, an unfinished last line left out. Throws FileError, with the line's
// number.
[[nodiscard]] std::vector<nlohmann::ordered_json> read_json_lines(const std::filesystem::path& path,
                                                                  std::uint64_t max_bytes);

// A new folder among the temporary files, which is gone with the object.
class ScratchFolder {
 public:
  ScratchFolder();  // throws std::system_error
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace trainer
