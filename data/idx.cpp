#include "data/idx.hpp"

#include <algorithm>
#include <array>
#include <future>
#include <utility>

#include "data/input_file.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargestGzipFile = std::uint64_t{4} << 30;

constexpr unsigned kUnsignedByte = 0x08, kInt32 = 0x0c;

constexpr std::size_t kMostLabelBytes = 256;

const char* noun(IdxContent content) {
  return content == IdxContent::kImages ? "images" : "labels";
}

// What a wrong magic number most likely means: the end of the error message.
const char* meaning(std::uint32_t magic) {
  if (magic == 0x00000801) return "; this is a file of labels";
  if (magic == 0x00000803 || magic == 0x00000804) return "; this is a file of images";
  if (magic >> 16 == 0x1f8b) return "; this file is packed by gzip more than twice: unpack it";
  return "";
}

void check_magic(const fs::path& path, std::uint32_t magic, IdxContent content) {
  const std::uint32_t wanted = content == IdxContent::kImages ? 0x00000803 : 0x00000801;
  if (magic == wanted) return;
  if (content == IdxContent::kImages ? magic == 0x00000804 : magic == 0x00000c01 || magic == 0x00000c02)
    return;
  const std::uint32_t type = magic >> 8;
  const bool other_type = type != kUnsignedByte && (type == 0x09 || (type >= 0x0b && type <= 0x0e));
  if (other_type)
    refuse(path, "IDX elements of type 0x{:02x}; only 0x{:02x} (unsigned byte) is read", type, kUnsignedByte);
  refuse(path, "magic number 0x{:08x}, not 0x{:08x} (IDX {}){}", magic, wanted, noun(content),
         meaning(magic));
}

void check_shape(const fs::path& path, const std::vector<std::uint32_t>& sizes) {
  const std::uint32_t height = sizes[1];
  const std::uint32_t width = sizes[2];
  const std::uint32_t channels = sizes.size() == 4 ? sizes[3] : 1;
  if (height == 0 || width == 0) refuse(path, "images of {}x{} pixels: a size of zero", height, width);
  if (height > kLargestSide || width > kLargestSide)
    refuse(path, "images of {}x{} pixels; at most {}x{} are read", height, width, kLargestSide, kLargestSide);
  if (channels != 1 && channels != 3)
    refuse(path, "images of {} channels (sizes {}x{}x{}x{}); 1 and 3 are read", channels, sizes[0], height,
           width, channels);
}

// Reduces labels of 32-bit numbers to a byte each: the first number is the class.
void keep_classes(const fs::path& path, IdxArray& array) {
  const std::size_t stride = std::exchange(array.header.label_bytes, 1);
  if (stride == 1) return;
  for (std::size_t i = 0; i < array.header.count; ++i) {
    const std::uint32_t label = big_endian32(array.values, i * stride);
    if (label >= kMostClasses)
      refuse(path, "label {} at position {}; labels from 0 to {} are read", static_cast<std::int32_t>(label),
             i, kMostClasses - 1);
    array.values[i] = static_cast<std::uint8_t>(label);
  }
  array.values.resize(array.header.value_bytes = array.header.count);
}

// `bytes` are what there is, and `found` says so.
[[noreturn]] void refuse_length(const fs::path& path, const IdxHeader& header, std::uint64_t bytes,
                                const std::string& found) {
  refuse(path, "{}: the IDX header says {}, which makes {} bytes, but {}",
         bytes < header.file_bytes() ? "too short" : "too long", header.sizes(), header.file_bytes(), found);
}

IdxArray read_plain(const InputFile& file, IdxContent content) {
  Bytes start;
  start.resize(std::min<std::uint64_t>(kLongestIdxHeader, file.size()));
  file.read_at(0, start);
  IdxArray array;
  array.header = parse_idx_header(file.path(), start, content);
  if (file.size() != array.header.file_bytes())
    refuse_length(file.path(), array.header, file.size(), fmt::format("the file has {}", file.size()));
  array.values.resize(array.header.value_bytes);
  file.read_at(array.header.header_bytes, array.values);
  return array;
}

IdxArray read_gzip(const InputFile& file, IdxContent content) {
  Bytes packed = file.read_all(kLargestGzipFile);
  const fs::path& path = file.path();
  IdxArray array;
  Bytes start = gunzip_start(path, packed, kLongestIdxHeader);
  if (is_gzip(start)) {  // packed twice
    packed = gunzip_outer(path, packed);
    start = gunzip_start(path, packed, kLongestIdxHeader);
  }
  array.header = parse_idx_header(path, start, content);
  const std::uint64_t stated = array.header.file_bytes();
  if (const std::uint64_t most = packed.size() * kMostBytesPerGzipByte; stated > most)
    refuse_length(path, array.header, most,
                  fmt::format("a gzip file of {} bytes can hold at most {}", packed.size(), most));
  array.values.resize(stated + kGunzipMargin);
  const Unpacked unpacked = gunzip(path, packed, array.values);
  if (unpacked.more)
    refuse_length(
        path, array.header, unpacked.bytes,
        fmt::format("the file unpacks to more; its last four bytes say {}", gzip_stated_length(packed)));
  if (unpacked.bytes != stated)
    refuse_length(path, array.header, unpacked.bytes, fmt::format("the file unpacks to {}", unpacked.bytes));
  array.values.resize(stated);
  array.values.erase(array.values.begin(),
                     array.values.begin() + static_cast<std::ptrdiff_t>(array.header.header_bytes));
  return array;
}

void check_counts(const fs::path& image_file, const IdxArray& images, const fs::path& label_file,
                  const IdxArray& labels) {
  if (images.header.count == labels.header.count) return;
  refuse(image_file, "holds {} images, but {} holds {} labels", images.header.count, label_file.string(),
         labels.header.count);
}

// The number of classes: `wanted`, which the training labels must not exceed, or else taken from the labels.
int count_classes(const IdxFiles& files, const Split& train, const std::optional<int>& wanted) {
  const auto largest = std::max_element(train.labels.begin(), train.labels.end());
  if (!wanted) return *largest + 1;
  if (*largest >= *wanted)
    refuse(files.train_labels, "label {} at position {}, but with --classes {} labels go from 0 to {}",
           *largest, largest - train.labels.begin(), *wanted, *wanted - 1);
  return *wanted;
}

void check_test(const IdxFiles& files, const Shape& test_shape, const Dataset& loaded) {
  if (test_shape != loaded.shape)
    refuse(files.test_images, "images of {}x{}x{}, but those of {} are {}x{}x{}", test_shape.h, test_shape.w,
           test_shape.c, files.train_images.string(), loaded.shape.h, loaded.shape.w, loaded.shape.c);
  const std::vector<std::uint8_t>& labels = loaded.test.labels;
  const auto unknown =
      std::find_if(labels.begin(), labels.end(), [&](int it) { return it >= loaded.classes; });
  if (unknown != labels.end())
    refuse(files.test_labels,
           "label {} at position {} is not among the {} classes of the training data (0 to {})", *unknown,
           unknown - labels.begin(), loaded.classes, loaded.classes - 1);
}

}  // namespace

std::string IdxHeader::sizes() const {
  if (header_bytes == 8) return fmt::format("{}", count);
  if (header_bytes == 12) return fmt::format("{}x{}", count, label_bytes / 4);
  const std::string three = fmt::format("{}x{}x{}", count, shape.h, shape.w);
  return header_bytes == 16 ? three : fmt::format("{}x{}", three, shape.c);
}

IdxHeader parse_idx_header(const fs::path& path, std::span<const std::uint8_t> start, IdxContent content) {
  const bool has_magic = start.size() >= 4;
  if (has_magic) check_magic(path, big_endian32(start, 0), content);
  const std::size_t dimensions = has_magic ? start[3] : content == IdxContent::kImages ? 3 : 1;
  IdxHeader header;
  header.header_bytes = 4 + 4 * dimensions;
  if (start.size() < header.header_bytes)
    refuse(path, "holds {} bytes, fewer than the {} of an IDX header of {}", start.size(),
           header.header_bytes, noun(content));
  std::vector<std::uint32_t> sizes;
  for (std::size_t i = 0; i < dimensions; ++i) sizes.push_back(big_endian32(start, 4 + 4 * i));
  header.count = sizes[0];
  if (content == IdxContent::kImages) {
    check_shape(path, sizes);
    header.shape = {static_cast<int>(sizes[1]), static_cast<int>(sizes[2]),
                    dimensions == 4 ? static_cast<int>(sizes[3]) : 1};
  }
  if (header.count == 0) refuse(path, "holds 0 {}; at least 1 is needed", noun(content));
  if (start[2] == kInt32) header.label_bytes = 4 * std::size_t{dimensions == 2 ? sizes[1] : 1};
  if (header.label_bytes == 0 || header.label_bytes > kMostLabelBytes)
    refuse(path, "labels of {} numbers each; 1 to {} are read", header.label_bytes / 4, kMostLabelBytes / 4);
  header.value_bytes = header.count * header.shape.size() * header.label_bytes;
  return header;
}

IdxArray read_idx(const fs::path& path, IdxContent content) {
  const InputFile file(path);
  std::array<std::uint8_t, 2> start{1, 1};
  if (file.size() >= start.size()) file.read_at(0, start);
  const bool packed =  // an IDX file begins with zeros
      is_gzip(start) || (path.extension() == ".gz" && start != std::array<std::uint8_t, 2>{});
  IdxArray array = packed ? read_gzip(file, content) : read_plain(file, content);
  keep_classes(path, array);
  return array;
}

Dataset load_idx(const fs::path& path, const LoadOptions& options) {
  const IdxFiles files = find_idx_files(path);
  const auto start = [](const fs::path& file, IdxContent content) {
    return std::async(std::launch::async, read_idx, file, content);
  };
  auto train_images = start(files.train_images, IdxContent::kImages);
  auto train_labels = start(files.train_labels, IdxContent::kLabels);
  auto test_images = start(files.test_images, IdxContent::kImages);
  auto test_labels = start(files.test_labels, IdxContent::kLabels);
  IdxArray images = train_images.get();
  const IdxArray labels = train_labels.get();
  IdxArray other_images = test_images.get();
  const IdxArray other_labels = test_labels.get();

  check_counts(files.train_images, images, files.train_labels, labels);
  check_counts(files.test_images, other_images, files.test_labels, other_labels);
  Dataset loaded;
  loaded.shape = images.header.shape;
  const Shape test_shape = other_images.header.shape;
  loaded.is_transposed = files.test_images.filename().string().starts_with("emnist-");
  if (options.channels == 3 && loaded.shape.c == 1)
    refuse(files.train_images,
           "images of 1 channel, but --channels 3 was asked for; it is for folders of pictures");
  loaded.train = {std::move(images.values), {labels.values.begin(), labels.values.end()}};
  loaded.test = {std::move(other_images.values), {other_labels.values.begin(), other_labels.values.end()}};
  loaded.classes = count_classes(files, loaded.train, options.classes);
  check_test(files, test_shape, loaded);
  return loaded;
}

}  // namespace trainer::data
