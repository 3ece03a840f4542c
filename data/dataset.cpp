#include "data/dataset.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/ranges.h>
#include <libdeflate.h>
#include <system_error>

#include "data/idx.hpp"
#include "data/image.hpp"
#include "data/input_file.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;

void check_options(const LoadOptions& options) {
  if (options.classes && (*options.classes < 1 || *options.classes > kMostClasses))
    throw DataError(
        fmt::format("--classes {}: a data set has 1 to {} classes", *options.classes, kMostClasses));
  if (options.channels != 1 && options.channels != 3)
    throw DataError(fmt::format("--channels {}: images have 1 (grey) or 3 (colour)", options.channels));
}

Dataset load_either(const fs::path& path, const LoadOptions& options) {
  if (holds_idx(path)) return load_idx(path, options);
  if (find_picture_folders(path).any()) return load_image_folder(path, options);
  if (!fs::exists(path)) refuse(path, "does not exist; a data set is a folder of IDX files or of pictures");
  if (!fs::is_directory(path))
    refuse(path, "is not a folder; name the folder that holds the data set's files");
  refuse(
      path,
      "no data set here; looked for IDX files (train-images-idx3-ubyte[.gz] and the like) and for folders of "
      "pictures (train/LABEL/*.png, test/LABEL/*.png)");
}

std::string last_name(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

// Uses four tables: consecutive pixels are often equal, and each increment of one counter waits for the last.
std::array<std::uint64_t, 256> count_values(std::span<const std::uint8_t> bytes) {
  std::array<std::array<std::uint64_t, 256>, 4> tables{};
  std::size_t i = 0;
  for (; i + 4 <= bytes.size(); i += 4)
    for (std::size_t lane = 0; lane < 4; ++lane) ++tables[lane][bytes[i + lane]];
  for (; i < bytes.size(); ++i) ++tables[0][bytes[i]];
  for (std::size_t value = 0; value < 256; ++value)
    tables[0][value] += tables[1][value] + tables[2][value] + tables[3][value];
  return tables[0];
}

std::uint32_t checksum(IdxContent content, std::size_t count, const Shape& shape,
                       std::span<const std::uint8_t> values) {
  const std::vector<std::uint8_t> header = make_idx_header(content, count, shape);
  return libdeflate_crc32(libdeflate_crc32(0, header.data(), header.size()), values.data(), values.size());
}

std::string checksums(const Split& split, const Shape& shape) {
  return fmt::format("{:08x}-{:08x}", checksum(IdxContent::kImages, split.count(), shape, split.images),
                     checksum(IdxContent::kLabels, split.count(), shape, split.labels));
}

// For a program in build/PRESET/trainer/, the source tree is three folders above that folder.
constexpr int kFoldersAbove = 4;

fs::path must_exist(const fs::path& path, const char* origin) {
  std::error_code error;
  if (fs::exists(path, error) || holds_idx(path)) return path;
  refuse(path, "no such data set ({}): {}", origin,
         error ? error.message() : "name a folder of IDX files or of pictures");
}

std::vector<fs::path> places_for_mnist(const SearchPlaces& places) {
  std::vector<fs::path> candidates;
  fs::path folder = places.executable.lexically_normal().parent_path();
  for (int i = 0; i < kFoldersAbove && !folder.empty(); ++i) {
    candidates.push_back(folder / "data" / "mnist");
    candidates.push_back(folder / "share" / "mnist-trainer" / "mnist");
    if (folder == folder.parent_path()) break;
    folder = folder.parent_path();
  }
  candidates.insert(candidates.end(), places.compiled_in.begin(), places.compiled_in.end());
  return candidates;
}

}  // namespace

std::vector<std::uint8_t> make_idx_header(IdxContent content, std::uint64_t count, const Shape& shape) {
  std::vector<std::uint64_t> sizes{count};
  if (content == IdxContent::kImages) {
    sizes.push_back(static_cast<std::uint64_t>(shape.h));
    sizes.push_back(static_cast<std::uint64_t>(shape.w));
    if (shape.c != 1) sizes.push_back(static_cast<std::uint64_t>(shape.c));
  }
  std::vector<std::uint8_t> bytes{0, 0, 0x08, static_cast<std::uint8_t>(sizes.size())};
  for (const std::uint64_t size : sizes)
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(size >> shift));
  return bytes;
}

std::string fingerprint(const Dataset& dataset) {
  return fmt::format("crc32:{}-{}{}", checksums(dataset.train, dataset.shape),
                     checksums(dataset.test, dataset.shape),
                     dataset.validation_images > 0 ? fmt::format("-{}", dataset.validation_images) : "");
}

void transpose(Dataset& dataset) {
  const auto [h, w, c] = dataset.shape;
  for (Bytes* images : {&dataset.train.images, &dataset.test.images}) {
    const Bytes before = *images;
    auto out = images->begin();
    for (std::size_t image = 0; image < before.size(); image += dataset.shape.size())
      for (int x = 0; x < w; ++x)
        for (int y = 0; y < h; ++y)
          out = std::copy_n(before.begin() + static_cast<std::ptrdiff_t>(image) + (y * w + x) * c, c, out);
  }
  dataset.shape = {w, h, c};
  dataset.fingerprint = fingerprint(dataset);
}

Dataset load_dataset(const fs::path& path, const LoadOptions& options) {
  check_options(options);
  try {
    Dataset loaded = load_either(path, options);
    loaded.name = last_name(path);
    loaded.path = path;
    loaded.fingerprint = fingerprint(loaded);
    if (options.transpose) transpose(loaded);
    return loaded;
  } catch (const fs::filesystem_error& error) {
    refuse(path, "cannot be searched: {}: {}", error.path1().string(), error.code().message());
  }
}

PixelStatistics pixel_statistics(std::span<const std::uint8_t> values) {
  const std::array<std::uint64_t, 256> counts = count_values(values);
  const auto pixels = static_cast<double>(values.size());
  if (*std::max_element(counts.begin(), counts.end()) == values.size())
    throw DataError(fmt::format("normalize: data: all {} pixels are the same, so that their deviation is 0",
                                values.size()));
  double sum = 0;
  for (std::size_t value = 0; value < counts.size(); ++value)
    sum += static_cast<double>(value * counts[value]);
  const double mean = sum / pixels;
  double squares = 0;
  for (std::size_t value = 0; value < counts.size(); ++value) {
    const double distance = static_cast<double>(value) - mean;
    squares += distance * distance * static_cast<double>(counts[value]);
  }
  return {mean / 255, std::sqrt(squares / pixels) / 255};
}

fs::path find_data(const SearchPlaces& places) {
  if (places.given) return must_exist(*places.given, "--data");
  if (places.environment && !places.environment->empty())
    return must_exist(*places.environment, "environment variable TRAINER_DATA");
  std::vector<std::string> looked_at;
  for (const fs::path& candidate : places_for_mnist(places)) {
    if (holds_idx(candidate)) return candidate;
    looked_at.push_back(candidate.string());
  }
  throw DataError(
      fmt::format("MNIST was not found; name its folder with --data or TRAINER_DATA (looked at {})",
                  fmt::join(looked_at, ", ")));
}

}  // namespace trainer::data
