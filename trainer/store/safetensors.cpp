// Writing, and what reading and writing share. The checks of a file that was read are in
// safetensors_read.cpp.
#include "trainer/store/safetensors.hpp"

#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <utility>

#include "trainer/store/safetensors_layout.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"
#include "trainer/system/text.hpp"

namespace trainer {
namespace {

using Json = nlohmann::ordered_json;

void check_tensors(std::span<const Tensor> tensors) {
  std::set<std::string_view> names;
  for (const Tensor& tensor : tensors) {
    if (tensor.name == safetensors::kMetadataKey || !names.insert(tensor.name).second)
      throw std::invalid_argument(fmt::format("two tensors (or the metadata) are named '{}'", tensor.name));
    const auto expected = safetensors::bytes_of_shape(tensor.shape);
    if (!expected || *expected != tensor.bytes.size())
      throw std::invalid_argument(fmt::format("tensor '{}' has {} bytes, which is not what its shape takes",
                                              tensor.name, tensor.bytes.size()));
  }
}

std::string header_text(std::span<const Tensor> tensors, const Metadata& metadata) {
  Json header = Json::object();
  header[std::string(safetensors::kMetadataKey)] = metadata;
  std::uint64_t begin = 0;
  for (const Tensor& tensor : tensors) {
    const std::uint64_t end = begin + tensor.bytes.size();
    Json entry = Json::object();
    entry["dtype"] = kDType;
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = {begin, end};
    header[tensor.name] = std::move(entry);
    begin = end;
  }
  std::string text = to_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

// The hash's key and value as they stand in a header. Text inside a JSON string has its quotes escaped, so
// this occurs once.
std::string hash_entry(std::string_view digits) {
  return fmt::format("\"{}\":\"{}\"", kContentHashKey, digits);
}

std::array<std::byte, safetensors::kLengthBytes> little_endian(std::uint64_t value) {
  std::array<std::byte, safetensors::kLengthBytes> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
  return bytes;
}

}  // namespace

namespace safetensors {

std::optional<std::uint64_t> bytes_of_shape(std::span<const std::uint64_t> shape) {
  std::uint64_t bytes = sizeof(float);
  for (const std::uint64_t extent : shape)
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  return bytes;
}

}  // namespace safetensors

void write_safetensors(const std::filesystem::path& path, std::span<const Tensor> tensors,
                       Metadata metadata) {
  check_tensors(tensors);
  const std::string zeros(safetensors::kHashDigits, '0');
  metadata[std::string(kContentHashKey)] = zeros;
  std::string header = header_text(tensors, metadata);
  const auto length = little_endian(header.size());

  Sha256 hash;
  hash.update(length);
  hash.update(header);
  for (const Tensor& tensor : tensors) hash.update(tensor.bytes);
  const std::string placeholder = hash_entry(zeros);
  header.replace(header.find(placeholder), placeholder.size(), hash_entry(hash.hex()));

  std::vector<std::span<const std::byte>> parts{length, std::as_bytes(std::span(header))};
  for (const Tensor& tensor : tensors) parts.push_back(tensor.bytes);
  write_file_durably(path, parts);
}

}  // namespace trainer
