// Dataset: labelled images as bytes, split into training and test, with what the rest of the program needs to
// know about them. It is plain data: whoever limits or divides a split takes a part of its spans.
// load_dataset reads either form a data set comes in and says what is wrong with one that it refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/bytes.hpp"

namespace trainer::data {

// A file or folder that is not what it should be. The message is one whole line: path, cause, numbers, next
// step.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

constexpr int kMostClasses = 256;   // a label is one byte
constexpr int kLargestSide = 4096;  // height and width of an image, whatever file it comes from

struct ImageShape {
  int height = 0;
  int width = 0;
  int channels = 0;

  std::size_t bytes() const;  // of one image: height * width * channels
  bool operator==(const ImageShape&) const = default;
};

struct Split {
  Bytes images;                      // [count, height, width, channels], 0 to 255
  std::vector<std::uint8_t> labels;  // [count], each below Dataset::classes

  std::size_t count() const { return labels.size(); }
};

struct Dataset {
  std::string name;  // last part of the path: "mnist", "fashion-mnist"
  std::filesystem::path path;
  ImageShape shape;
  int classes = 0;
  Split train;
  Split test;
  std::vector<std::string> label_names;  // [classes], or empty where labels are only numbers (IDX)
  std::size_t skipped_images = 0;        // broken pictures left out, with LoadOptions::skip_bad_images
  std::string fingerprint;               // identity of the contents, see data/fingerprint.hpp
};

struct LoadOptions {
  std::optional<int> classes = {};  // width of the head; otherwise the largest training label + 1
  int channels = 1;                 // of a folder of pictures: 1 grey, 3 colour. IDX files say their own.
  bool skip_bad_images = false;     // count broken pictures instead of stopping at the first
};

// Loads the data set at `path`, which is one of
//   a folder of four IDX files (data/idx.hpp); where several sets share a folder, folder/PREFIX names one;
//   a folder of pictures, train/LABEL/*.png and test/LABEL/*.png (data/image_folder.hpp).
// IDX files are looked for first. Every label is below `classes`, every image has `shape`, no split is empty.
// Throws DataError.
Dataset load_dataset(const std::filesystem::path& path, const LoadOptions& options = {});

// Mean and (population) standard deviation of pixel values, as fractions: a pixel counts as x / 255.
struct PixelStatistics {
  double mean = 0;
  double deviation = 0;
};

// Throws DataError where there is nothing to divide by: no pixels, or all the same.
PixelStatistics pixel_statistics(std::span<const std::uint8_t> values);

}  // namespace trainer::data
