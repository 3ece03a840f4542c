// An input file may be damaged, cut off, foreign or malicious. Checks run from the outside in: lengths, JSON, the table of
// tensors, the hash. The file's own size bounds every allocation.
#include "trainer/store/safetensors.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"
#include "trainer/system/text.hpp"

namespace trainer {
namespace {

using HeaderJson = nlohmann::json;
using Bytes = std::span<const std::byte>;

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::size_t kLengthBytes = 8;  // the length that precedes the header
constexpr std::size_t kHashDigits = 64;
constexpr std::uint64_t kMostFileBytes = std::uint64_t{1} << 33;    // 8 GiB, far above any network of ours
constexpr std::uint64_t kMostHeaderBytes = std::uint64_t{1} << 22;  // 4 MiB, thousands of tensors
constexpr std::size_t kMostDepth = 3;                               // header, tensor, shape

// Bytes of a tensor; none if the product does not fit 64 bits.
std::optional<std::uint64_t> bytes_of_shape(std::span<const std::uint64_t> shape,
                                            std::uint64_t bytes = sizeof(float)) {
  for (const std::uint64_t extent : shape)
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  return bytes;
}

void check_tensors(std::span<const Tensor> tensors) {
  std::set<std::string_view> names;
  for (const Tensor& tensor : tensors) {
    if (tensor.name == kMetadataKey || !names.insert(tensor.name).second)
      throw std::invalid_argument(fmt::format("two tensors (or the metadata) are named '{}'", tensor.name));
    const auto expected = bytes_of_shape(tensor.shape);
    if (!expected || *expected != tensor.bytes.size())
      throw std::invalid_argument(fmt::format("tensor '{}' has {} bytes, which is not what its shape takes",
                                              tensor.name, tensor.bytes.size()));
  }
}

std::string header_text(std::span<const Tensor> tensors, const Metadata& metadata) {
  auto header = nlohmann::ordered_json::object();
  header[std::string(kMetadataKey)] = metadata;
  std::uint64_t begin = 0;
  for (const Tensor& tensor : tensors) {
    const std::uint64_t end = begin + tensor.bytes.size();
    auto& entry = header[tensor.name] = nlohmann::ordered_json::object();
    entry["dtype"] = kDType;
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = {begin, end};
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

// Throws FileErrors about one file.
class Complaint {
 public:
  explicit Complaint(const std::filesystem::path& path) : path_(path) {}

  template <class... Values>
  [[noreturn]] void operator()(fmt::format_string<Values...> text, Values&&... values) const {
    throw FileError(
        fmt::format("{}: {}", path_.string(), fmt::format(text, std::forward<Values>(values)...)));
  }

 private:
  const std::filesystem::path& path_;
};

std::string shape_text(std::span<const std::uint64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// The header and what comes after it.
std::pair<Bytes, Bytes> divide(Bytes file, const Complaint& complain) {
  if (file.size() < kLengthBytes)
    complain("not a safetensors file: it has {} bytes, fewer than the {} of a header length", file.size(),
             kLengthBytes);
  std::uint64_t length = 0;  // little-endian, like this machine's numbers and the tensors
  std::memcpy(&length, file.data(), kLengthBytes);
  const Bytes rest = file.subspan(kLengthBytes);
  if (length > rest.size())
    complain("not a safetensors file, or cut off: its header should have {} bytes, and {} bytes follow",
             length, rest.size());
  if (length > kMostHeaderBytes)
    complain("its header has {} bytes, more than the {} that are accepted", length, kMostHeaderBytes);
  return {rest.first(length), rest.subspan(length)};
}

// Refuses deep nesting and duplicate keys, both of which the parser would accept.
HeaderJson parse_header(Bytes header, const Complaint& complain) {
  using Event = HeaderJson::parse_event_t;
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  std::vector<std::set<std::string>> keys;  // one set per open bracket
  const auto watch = [&](int /*depth*/, Event event, HeaderJson& value) {
    if (event == Event::object_start || event == Event::array_start) keys.emplace_back();
    if (event == Event::object_end || event == Event::array_end) keys.pop_back();
    if (keys.size() > kMostDepth) complain("its header nests deeper than {} levels", kMostDepth);
    if (event == Event::key && !keys.back().insert(value.get<std::string>()).second)
      complain("its header has the key '{}' twice", value.get<std::string>());
    return true;
  };
  HeaderJson json;
  try {
    json = HeaderJson::parse(text, watch);
  } catch (const HeaderJson::exception& error) {
    complain("its header is not JSON: {}", error.what());
  }
  if (!json.is_object()) complain("its header is JSON but not an object");
  return json;
}

Metadata metadata_of(const HeaderJson& header, const Complaint& complain) {
  Metadata metadata;
  const auto found = header.find(kMetadataKey);
  if (found == header.end()) return metadata;
  if (!found->is_object()) complain("its __metadata__ is not an object");
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) complain("its metadata '{}' is not a string", key);
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

std::vector<std::uint64_t> unsigned_numbers(const HeaderJson& entry, const char* key, const std::string& name,
                                            const Complaint& complain) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_array()) complain("tensor '{}': '{}' is not a list", name, key);
  if (!std::ranges::all_of(*found, &HeaderJson::is_number_unsigned))
    complain("tensor '{}': '{}' has an entry that is not a whole number of 0 or more", name, key);
  return found->get<std::vector<std::uint64_t>>();
}

// Counts the batches that torch's batch normalisation has seen; no evaluation needs it.
bool is_counter(const std::string& name) {
  return name.ends_with(".num_batches_tracked");
}

void check_dtype(const HeaderJson& entry, const std::string& name, std::string_view wanted,
                 const Complaint& complain) {
  const auto found = entry.find("dtype");
  if (found == entry.end() || !found->is_string()) complain("tensor '{}': 'dtype' is not a string", name);
  if (found->get_ref<const std::string&>() != wanted)
    complain("tensor '{}': its numbers are {}; this program reads {}", name, found->get<std::string>(),
             wanted);
}

Tensor tensor_of(const std::string& name, const HeaderJson& entry, Bytes payload, const Complaint& complain) {
  if (!entry.is_object()) complain("tensor '{}': its entry is not an object", name);
  if (entry.size() != 3) complain("tensor '{}': its entry has {} keys instead of 3", name, entry.size());
  const bool counts = is_counter(name);
  const std::string_view dtype = counts ? "I64" : kDType;
  check_dtype(entry, name, dtype, complain);
  const std::vector<std::uint64_t> shape = unsigned_numbers(entry, "shape", name, complain);
  const std::vector<std::uint64_t> offsets = unsigned_numbers(entry, "data_offsets", name, complain);
  if (offsets.size() != 2)
    complain("tensor '{}': 'data_offsets' has {} numbers instead of 2", name, offsets.size());
  const std::uint64_t begin = offsets[0];
  const std::uint64_t end = offsets[1];
  if (begin > end || end > payload.size())
    complain("tensor '{}': its bytes {} to {} are not in the {} bytes after the header (a file cut off?)",
             name, begin, end, payload.size());
  const auto bytes = bytes_of_shape(shape, counts ? sizeof(std::int64_t) : sizeof(float));
  if (!bytes) complain("tensor '{}': the size of its shape {} overflows", name, shape_text(shape));
  if (*bytes != end - begin)
    complain("tensor '{}': {} of shape {} takes {} bytes, but its offsets give it {}", name, dtype,
             shape_text(shape), *bytes, end - begin);
  return {name, shape, payload.subspan(begin, *bytes)};
}

// The tensors in the order of their bytes, which they must cover without overlaps or gaps.
std::vector<Tensor> tensors_of(const HeaderJson& header, Bytes payload, const Complaint& complain) {
  std::vector<Tensor> tensors;
  for (const auto& [name, entry] : header.items())
    if (name != kMetadataKey) tensors.push_back(tensor_of(name, entry, payload, complain));
  std::ranges::sort(tensors, {},
                    [](const Tensor& one) { return std::pair(one.bytes.data(), one.bytes.size()); });
  std::size_t position = 0;
  for (const Tensor& one : tensors) {
    const auto begin = static_cast<std::size_t>(one.bytes.data() - payload.data());
    if (begin != position)
      complain("tensor '{}': its bytes begin at {} instead of {}: tensors overlap or leave a hole", one.name,
               begin, position);
    position += one.bytes.size();
  }
  if (position != payload.size())
    complain("its tensors end at byte {} of the {} after the header", position, payload.size());
  std::erase_if(tensors, [](const Tensor& one) { return is_counter(one.name); });
  return tensors;
}

void check_hash(Bytes file, const Metadata& metadata, const Complaint& complain) {
  const auto found = metadata.find(std::string(kContentHashKey));
  if (found == metadata.end())
    complain("its metadata has no '{}': this program did not write it", kContentHashKey);
  const std::string& digits = found->second;
  const bool is_hash =
      digits.size() == kHashDigits && digits.find_first_not_of("0123456789abcdef") == std::string::npos;
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  const std::size_t place = is_hash ? text.find(digits) : std::string_view::npos;
  if (place == std::string_view::npos)
    complain("its '{}' is not a hash of 64 hexadecimal digits: the file is damaged", kContentHashKey);
  Sha256 hash;
  hash.update(text.substr(0, place));
  hash.update(std::string(digits.size(), '0'));
  hash.update(text.substr(place + digits.size()));
  if (hash.hex() != digits)
    complain("its contents hash to {}..., not to the {}... that it was written with: the file is damaged",
             hash.hex().substr(0, 12), digits.substr(0, 12));
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const Tensor> tensors,
                       Metadata metadata) {
  check_tensors(tensors);
  const std::string zeros(kHashDigits, '0');
  metadata[std::string(kContentHashKey)] = zeros;
  std::string header = header_text(tensors, metadata);
  const std::uint64_t length = header.size();

  Sha256 hash;
  hash.update(std::as_bytes(std::span(&length, 1)));
  hash.update(header);
  for (const Tensor& tensor : tensors) hash.update(tensor.bytes);
  const std::string zero_entry = hash_entry(zeros);
  header.replace(header.find(zero_entry), zero_entry.size(), hash_entry(hash.hex()));

  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(&length, 1)),
                                                std::as_bytes(std::span(header))};
  for (const Tensor& tensor : tensors) parts.push_back(tensor.bytes);
  write_file_durably(path, parts);
}

SafetensorsFile SafetensorsFile::read(const std::filesystem::path& path, Writer writer) {
  SafetensorsFile file;
  file.path_ = path;
  file.bytes_ = std::make_unique<const std::vector<std::byte>>(read_file(path, kMostFileBytes));
  const Complaint complain(path);
  const auto [header_bytes, payload] = divide(*file.bytes_, complain);
  const HeaderJson header = parse_header(header_bytes, complain);
  file.metadata_ = metadata_of(header, complain);
  file.tensors_ = tensors_of(header, payload, complain);
  if (writer == Writer::trainer) check_hash(*file.bytes_, file.metadata_, complain);
  return file;
}

std::string SafetensorsFile::sha256() const {
  return sha256_hex(*bytes_);
}

const std::string& SafetensorsFile::text(const std::string& key) const {
  const Complaint complain(path_);
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) complain("its metadata has no '{}'", key);
  return found->second;
}

const Tensor* SafetensorsFile::find(std::string_view name) const {
  const auto tensor = std::ranges::find(tensors_, name, &Tensor::name);
  return tensor == tensors_.end() ? nullptr : &*tensor;
}

std::span<const std::byte> SafetensorsFile::require(std::string_view name,
                                                    std::span<const std::uint64_t> shape) const {
  const Complaint complain(path_);
  const Tensor* tensor = find(name);
  if (tensor == nullptr) complain("it has no tensor '{}' among its {}", name, tensors_.size());
  if (!std::ranges::equal(tensor->shape, shape))
    complain("tensor '{}' is {}, but {} is needed", name, shape_text(tensor->shape), shape_text(shape));
  return tensor->bytes;
}

}  // namespace trainer
