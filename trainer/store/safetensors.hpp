// The safetensors format (github.com/huggingface/safetensors): the header's length as 8 little-endian bytes, a JSON header, and
// the tensors' bytes without gaps. Any tool that knows the format opens our files; this reader also checks what others only
// trust: every offset, every shape, and a hash of the contents.
//
// The hash: metadata["content_sha256"] is the SHA-256 of the whole file with those 64 hexadecimal digits
// replaced by 64 times '0' (their first occurrence in the file). In Python:
//   data = open(path, "rb").read(); digits = metadata["content_sha256"].encode()
//   assert hashlib.sha256(data.replace(digits, b"0" * 64, 1)).hexdigest().encode() == digits
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trainer {

// The format's name for the one type of numbers that our files hold.
inline constexpr std::string_view kDType = "F32";

struct Tensor {
  std::string name;
  std::vector<std::uint64_t> shape;  // empty: one element
  std::span<const std::byte> bytes;  // row-major, little-endian; not owned
};

using Metadata = std::map<std::string, std::string>;
inline constexpr std::string_view kContentHashKey = "content_sha256";

// Writes `tensors` in the given order and `metadata` (and the hash) durably to `path`. Names must differ and
// each tensor's bytes must match its shape: otherwise std::invalid_argument. Throws FileError when writing
// fails.
void write_safetensors(const std::filesystem::path& path, std::span<const Tensor> tensors, Metadata metadata);

// Who wrote a file. Another program's has no hash of ours. Torch's counters of batches (".num_batches_tracked", I64) are left out.
enum class Writer { trainer, any };

// A file that was read and found intact. Move-only; the object owns the tensors' bytes.
class SafetensorsFile {
 public:
  // Reads and checks everything, including the hash. Memory is at most proportional to the file's size. Throws FileError with the
  // path, what is wrong, and the numbers.
  [[nodiscard]] static SafetensorsFile read(const std::filesystem::path& path,
                                            Writer writer = Writer::trainer);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const Metadata& metadata() const { return metadata_; }           // with the hash
  [[nodiscard]] const std::vector<Tensor>& tensors() const { return tensors_; }  // in the order of the bytes
  [[nodiscard]] std::vector<Tensor>& tensors() { return tensors_; }              // to give them other names

  [[nodiscard]] std::string sha256() const;  // hashes the file's bytes, as sha256sum does

  // The metadata under `key`; FileError if there is none.
  [[nodiscard]] const std::string& text(const std::string& key) const;
  [[nodiscard]] const Tensor* find(std::string_view name) const;  // null: it has none of that name
  // The tensor's bytes; FileError if it is missing or has another shape (the message names both).
  [[nodiscard]] std::span<const std::byte> require(std::string_view name,
                                                   std::span<const std::uint64_t> shape) const;

 private:
  SafetensorsFile() = default;

  std::filesystem::path path_;
  std::unique_ptr<const std::vector<std::byte>> bytes_;
  Metadata metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace trainer
