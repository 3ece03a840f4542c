#include "data/idx.hpp"

#include <algorithm>
#include <future>
#include <system_error>

#include "data/gzip.hpp"
#include "data/idx_names.hpp"
#include "data/input_file.hpp"
#include "data/refuse.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargestGzipFile = std::uint64_t{4} << 30;

[[noreturn]] void refuse_length(const fs::path& path, const IdxHeader& header, const char* verdict,
                                const std::string& found) {
  refuse(path, "{}: the IDX header says {}, which makes {} bytes, but {}", verdict, header.sizes(),
         header.file_bytes(), found);
}

IdxArray read_plain(const InputFile& file, IdxContent content) {
  Bytes start;
  start.resize(std::min<std::uint64_t>(kLongestIdxHeader, file.size()));
  file.read_at(0, start);
  IdxArray array;
  array.header = parse_idx_header(file.path(), start, content);
  if (file.size() != array.header.file_bytes()) {
    refuse_length(file.path(), array.header,
                  file.size() < array.header.file_bytes() ? "too short" : "too long",
                  fmt::format("the file has {}", file.size()));
  }
  array.values.resize(array.header.value_bytes);
  file.read_at(array.header.header_bytes, array.values);
  return array;
}

IdxArray read_gzip(const InputFile& file, IdxContent content) {
  const Bytes packed = file.read_all(kLargestGzipFile);
  const fs::path& path = file.path();
  IdxArray array;
  array.header = parse_idx_header(path, gunzip_start(path, packed, kLongestIdxHeader), content);
  const std::uint64_t stated = array.header.file_bytes();
  if (stated > packed.size() * kMostBytesPerGzipByte) {
    refuse_length(path, array.header, "too short",
                  fmt::format("a gzip file of {} bytes can hold at most {}", packed.size(),
                              packed.size() * kMostBytesPerGzipByte));
  }
  array.values.resize(stated + kGunzipMargin);
  const Unpacked unpacked = gunzip(path, packed, array.values);
  if (unpacked.more) {
    refuse_length(
        path, array.header, "too long",
        fmt::format("the file unpacks to more; its last four bytes say {}", gzip_stated_length(packed)));
  }
  if (unpacked.bytes != stated) {
    refuse_length(path, array.header, unpacked.bytes < stated ? "too short" : "too long",
                  fmt::format("the file unpacks to {}", unpacked.bytes));
  }
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

Split make_split(IdxArray images, const IdxArray& labels) {
  return {std::move(images.values), {labels.values.begin(), labels.values.end()}};
}

// The class count: as asked for, or from the labels, which are otherwise checked against it.
int count_classes(const IdxFiles& files, const Split& train, const std::optional<int>& wanted) {
  const auto largest = std::max_element(train.labels.begin(), train.labels.end());
  if (!wanted) return *largest + 1;
  if (*largest >= *wanted) {
    refuse(files.train_labels, "label {} at position {}, but with --classes {} labels go from 0 to {}",
           *largest, largest - train.labels.begin(), *wanted, *wanted - 1);
  }
  return *wanted;
}

void check_test(const IdxFiles& files, const ImageShape& test_shape, const Dataset& loaded) {
  if (test_shape != loaded.shape) {
    refuse(files.test_images, "images of {}x{}x{}, but those of {} are {}x{}x{}", test_shape.height,
           test_shape.width, test_shape.channels, files.train_images.string(), loaded.shape.height,
           loaded.shape.width, loaded.shape.channels);
  }
  const std::vector<std::uint8_t>& labels = loaded.test.labels;
  const auto unknown =
      std::find_if(labels.begin(), labels.end(), [&](int it) { return it >= loaded.classes; });
  if (unknown != labels.end()) {
    refuse(files.test_labels,
           "label {} at position {} is not among the {} classes of the training data (0 to {})", *unknown,
           unknown - labels.begin(), loaded.classes, loaded.classes - 1);
  }
}

}  // namespace

bool holds_idx(const fs::path& path) {
  std::error_code unreadable;
  if (fs::is_directory(path, unreadable)) return !idx_prefixes(path).empty();
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  return idx_prefixes(folder).contains(path.filename().string() + "-");
}

IdxArray read_idx(const fs::path& path, IdxContent content) {
  const InputFile file(path);
  return path.extension() == ".gz" ? read_gzip(file, content) : read_plain(file, content);
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
  const ImageShape test_shape = other_images.header.shape;
  if (options.channels == 3 && loaded.shape.channels == 1) {
    refuse(files.train_images,
           "images of 1 channel, but --channels 3 was asked for; it is for folders of pictures");
  }
  loaded.train = make_split(std::move(images), labels);
  loaded.test = make_split(std::move(other_images), other_labels);
  loaded.classes = count_classes(files, loaded.train, options.classes);
  check_test(files, test_shape, loaded);
  return loaded;
}

}  // namespace trainer::data
