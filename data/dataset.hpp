// Dataset: labelled images as bytes, split into training and test, with what the rest of the program needs to
// know about them. It is plain data: whoever limits or divides a split takes a part of its spans.
// load_dataset() reads either form that a data set comes in and says what is wrong with one that it refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/shape.hpp"

namespace trainer::data {

// A file or folder that is not what it should be. The message is one whole line: path, cause, numbers, next
// step.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A vector of these bytes leaves new elements of resize() as they are. The 47 MB of training images are written once, by
// the inflater; zeros first would cost a second pass over memory.
template <class T>
class UninitializedAllocator : public std::allocator<T> {
 public:
  template <class U>
  struct rebind {
    using other = UninitializedAllocator<U>;
  };

  using std::allocator<T>::allocator;

  template <class U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Values>
  void construct(U* place, Values&&... values) {
    std::construct_at(place, std::forward<Values>(values)...);
  }
};

using Bytes = std::vector<std::uint8_t, UninitializedAllocator<std::uint8_t>>;

constexpr int kMostClasses = 256;   // a label is one byte
constexpr int kLargestSide = 4096;  // height and width of an image, whatever file it comes from

struct Split {
  Bytes images;                      // [count, h, w, c], 0 to 255
  std::vector<std::uint8_t> labels;  // [count], each below Dataset::classes

  std::size_t count() const { return labels.size(); }
};

struct Dataset {
  std::string name;  // last part of the path: "mnist", "fashion-mnist"
  std::filesystem::path path;
  Shape shape;
  int classes = 0;
  Split train;
  Split test;
  std::vector<std::string> label_names;  // [classes], or empty where labels are only numbers (IDX)
  std::size_t skipped_images = 0;        // broken pictures left out, with LoadOptions::skip_bad_images
  std::string fingerprint;               // identity of the contents: fingerprint()
};

struct LoadOptions {
  std::optional<int> classes = {};  // width of the head; otherwise the largest training label + 1
  int channels = 1;                 // of a folder of pictures: 1 grey, 3 colour. IDX files say their own.
  bool skip_bad_images = false;     // count broken pictures instead of stopping at the first
};

// Loads the data set at `path`, which is one of
//   a folder of four IDX files (data/idx.hpp); where several sets share a folder, folder/PREFIX names one;
//   a folder of pictures, train/LABEL/*.png and test/LABEL/*.png (data/image.hpp).
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

// The identity of a data set's contents, for run records: "crc32:e9f4d8b3-...", the CRC-32 of training
// images, training labels, test images and test labels, each as a plain IDX file would hold it, header
// included (so that shape and count are covered). For IDX files it is therefore the checksum that `gzip -lv`
// shows. It does not depend on names or compression: the same images in the same order give the same text, be
// they gzip IDX, plain IDX or pictures. CRC-32 tells accidents and versions apart in 4 ms; it is no defence
// against forgery.
std::string fingerprint(const Dataset& dataset);

// Where the data set of a run is, from any working directory: the first of
//   1. the path that was asked for (--data), which is right or an error, never passed over;
//   2. the environment's TRAINER_DATA, by the same rule;
//   3. MNIST beside the program: data/mnist in a folder above it (a build folder in the source tree), or
//      share/mnist-trainer/mnist (an installation);
//   4. MNIST where the program was compiled to look.
// All inputs are given, none is looked up here, so that a test needs no environment.
struct SearchPlaces {
  std::optional<std::filesystem::path> given = {};      // --data
  std::optional<std::string> environment = {};          // TRAINER_DATA; empty counts as not set
  std::filesystem::path executable = {};                // whole path of the running program
  std::vector<std::filesystem::path> compiled_in = {};  // folders that hold MNIST, in order of preference
};

// The path to hand to load_dataset. For 3 and 4 it holds IDX files; for 1 and 2 it exists, or is a prefix of
// IDX files. Throws DataError that names every place that was looked at.
std::filesystem::path find_data(const SearchPlaces& places);

}  // namespace trainer::data
