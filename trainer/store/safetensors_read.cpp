// Reading a safetensors file that may be damaged, cut off, foreign or made to harm. Checks run from the
// outside in: lengths, JSON, the table of tensors, the hash. Nothing is allocated that the file's own size
// does not bound.
#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "trainer/store/safetensors.hpp"
#include "trainer/store/safetensors_layout.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {
namespace {

using HeaderJson = nlohmann::json;
using Bytes = std::span<const std::byte>;

constexpr std::uint64_t kMostFileBytes = std::uint64_t{1} << 33;    // 8 GiB, far above any network of ours
constexpr std::uint64_t kMostHeaderBytes = std::uint64_t{1} << 22;  // 4 MiB, thousands of tensors
constexpr int kMostDepth = 3;                                       // header, tensor, shape

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
struct Parts {
  Bytes header;
  Bytes payload;
};

Parts divide(Bytes file, const Complaint& complain) {
  if (file.size() < safetensors::kLengthBytes)
    complain("not a safetensors file: it has {} bytes, fewer than the {} of a header length", file.size(),
             safetensors::kLengthBytes);
  std::uint64_t length = 0;
  for (std::size_t i = safetensors::kLengthBytes; i-- > 0;)
    length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
  const Bytes rest = file.subspan(safetensors::kLengthBytes);
  if (length > rest.size())
    complain("not a safetensors file, or cut off: its header should have {} bytes, and {} bytes follow",
             length, rest.size());
  if (length > kMostHeaderBytes)
    complain("its header has {} bytes, more than the {} that are accepted", length, kMostHeaderBytes);
  return {rest.first(length), rest.subspan(length)};
}

// Watches the parser: refuses deep nesting and a key that comes twice, both of which it would let pass.
class HeaderWatch {
 public:
  explicit HeaderWatch(const Complaint& complain) : complain_(complain) {}

  bool operator()(int /*depth*/, HeaderJson::parse_event_t event, HeaderJson& value) {
    switch (event) {
      case HeaderJson::parse_event_t::object_start:
      case HeaderJson::parse_event_t::array_start:
        keys_.emplace_back();
        if (keys_.size() > kMostDepth) complain_("its header nests deeper than {} levels", kMostDepth);
        break;
      case HeaderJson::parse_event_t::object_end:
      case HeaderJson::parse_event_t::array_end:
        keys_.pop_back();
        break;
      case HeaderJson::parse_event_t::key:
        if (!keys_.back().insert(value.get<std::string>()).second)
          complain_("its header has the key '{}' twice", value.get<std::string>());
        break;
      case HeaderJson::parse_event_t::value:
        break;
    }
    return true;
  }

 private:
  const Complaint& complain_;
  std::vector<std::set<std::string>> keys_;  // one set an open bracket
};

HeaderJson parse_header(Bytes header, const Complaint& complain) {
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  HeaderWatch watch(complain);
  HeaderJson json;
  try {
    json = HeaderJson::parse(text, std::ref(watch));
  } catch (const HeaderJson::exception& error) {
    complain("its header is not JSON: {}", error.what());
  }
  if (!json.is_object()) complain("its header is JSON but not an object");
  return json;
}

Metadata metadata_of(const HeaderJson& header, const Complaint& complain) {
  Metadata metadata;
  const auto found = header.find(safetensors::kMetadataKey);
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
  std::vector<std::uint64_t> numbers;
  for (const HeaderJson& number : *found) {
    if (!number.is_number_unsigned())
      complain("tensor '{}': '{}' has an entry that is not a whole number of 0 or more", name, key);
    numbers.push_back(number.get<std::uint64_t>());
  }
  return numbers;
}

void check_dtype(const HeaderJson& entry, const std::string& name, const Complaint& complain) {
  const auto found = entry.find("dtype");
  if (found == entry.end() || !found->is_string()) complain("tensor '{}': 'dtype' is not a string", name);
  if (found->get_ref<const std::string&>() != kDType)
    complain("tensor '{}': its numbers are {}; this program reads {}", name, found->get<std::string>(),
             kDType);
}

struct PlacedTensor {
  Tensor tensor;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

PlacedTensor tensor_of(const std::string& name, const HeaderJson& entry, Bytes payload,
                       const Complaint& complain) {
  if (!entry.is_object()) complain("tensor '{}': its entry is not an object", name);
  if (entry.size() != 3) complain("tensor '{}': its entry has {} keys instead of 3", name, entry.size());
  PlacedTensor placed;
  placed.tensor.name = name;
  check_dtype(entry, name, complain);
  placed.tensor.shape = unsigned_numbers(entry, "shape", name, complain);
  const std::vector<std::uint64_t> offsets = unsigned_numbers(entry, "data_offsets", name, complain);
  if (offsets.size() != 2)
    complain("tensor '{}': 'data_offsets' has {} numbers instead of 2", name, offsets.size());
  placed.begin = offsets[0];
  placed.end = offsets[1];
  if (placed.begin > placed.end || placed.end > payload.size())
    complain("tensor '{}': its bytes {} to {} are not in the {} bytes after the header (a file cut off?)",
             name, placed.begin, placed.end, payload.size());
  const auto bytes = safetensors::bytes_of_shape(placed.tensor.shape);
  if (!bytes)
    complain("tensor '{}': the size of its shape {} overflows", name, shape_text(placed.tensor.shape));
  if (*bytes != placed.end - placed.begin)
    complain("tensor '{}': {} of shape {} takes {} bytes, but its offsets give it {}", name, kDType,
             shape_text(placed.tensor.shape), *bytes, placed.end - placed.begin);
  placed.tensor.bytes = payload.subspan(placed.begin, *bytes);
  return placed;
}

// The tensors in the order of their bytes, which they must cover without overlap or hole.
std::vector<Tensor> tensors_of(const HeaderJson& header, Bytes payload, const Complaint& complain) {
  std::vector<PlacedTensor> placed;
  for (const auto& [name, entry] : header.items())
    if (name != safetensors::kMetadataKey) placed.push_back(tensor_of(name, entry, payload, complain));
  std::ranges::sort(placed, {}, [](const PlacedTensor& one) { return std::pair(one.begin, one.end); });
  std::uint64_t position = 0;
  std::vector<Tensor> tensors;
  for (PlacedTensor& one : placed) {
    if (one.begin != position)
      complain("tensor '{}': its bytes begin at {} instead of {}: tensors overlap or leave a hole",
               one.tensor.name, one.begin, position);
    position = one.end;
    tensors.push_back(std::move(one.tensor));
  }
  if (position != payload.size())
    complain("its tensors end at byte {} of the {} after the header", position, payload.size());
  return tensors;
}

void check_hash(Bytes file, const Metadata& metadata, const Complaint& complain) {
  const auto found = metadata.find(std::string(kContentHashKey));
  if (found == metadata.end())
    complain("its metadata has no '{}': this program did not write it", kContentHashKey);
  const std::string& digits = found->second;
  const bool is_hash = digits.size() == safetensors::kHashDigits &&
                       digits.find_first_not_of("0123456789abcdef") == std::string::npos;
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

SafetensorsFile SafetensorsFile::read(const std::filesystem::path& path) {
  SafetensorsFile file;
  file.path_ = path;
  file.bytes_ = read_file(path, kMostFileBytes);
  const Complaint complain(path);
  const Parts parts = divide(file.bytes_, complain);
  const HeaderJson header = parse_header(parts.header, complain);
  file.metadata_ = metadata_of(header, complain);
  file.tensors_ = tensors_of(header, parts.payload, complain);
  check_hash(file.bytes_, file.metadata_, complain);
  return file;
}

const std::string& SafetensorsFile::text(const std::string& key) const {
  const Complaint complain(path_);
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) complain("its metadata has no '{}'", key);
  return found->second;
}

const Tensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors_, name, &Tensor::name);
  return found == tensors_.end() ? nullptr : &*found;
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
