// Files that matter: written so that a reader finds the old contents or the new, never a piece.
// write_file_durably: temporary name in the same folder, contents, flush to the device, rename, flush of the
// folder. JsonLinesFile: one line appended with one write, so that a killed process leaves whole lines.
// Errors are one line: path, what failed, the system's reason, the next step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/system/errors.hpp"

namespace trainer {

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
  ~JsonLinesFile();
  JsonLinesFile(const JsonLinesFile&) = delete;
  JsonLinesFile& operator=(const JsonLinesFile&) = delete;

  // Appends `value` as one line, in the kernel's hands on return (it survives this process, not a power cut).
  // Throws FileError; the file then has the lines that it had before.
  void write(const nlohmann::ordered_json& value);

  // Has the lines on the disk on return. Throws FileError.
  void flush();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// The values of a file of JSON lines, an unfinished last line left out. Throws FileError, with the line's
// number.
[[nodiscard]] std::vector<nlohmann::ordered_json> read_json_lines(const std::filesystem::path& path,
                                                                  std::uint64_t max_bytes);

}  // namespace trainer
