// Dataset: labelled images as bytes, split into training and test, with what the rest of the program needs to
// know about them. It is plain data: to limit or divide a split, take a part of its arrays.
// load_dataset() reads either form of data set and says what is wrong with one that it refuses.
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

// An invalid file or folder. The message is one complete line: path, cause, numbers, next step.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// With this allocator, resize() of a vector leaves new elements uninitialised. The 47 MB of training images are written
// once, by the decompressor; zeroing them first would cost a second pass over memory.
template <class T>
class UninitializedAllocator : public std::allocator<T> {
 public:
  using std::allocator<T>::allocator;

  template <class U, class... Values>
  void construct(U* place, Values&&... values) {
    if constexpr (sizeof...(Values) == 0)
      ::new (static_cast<void*>(place)) U;
    else
      std::construct_at(place, std::forward<Values>(values)...);
  }
};

using Bytes = std::vector<std::uint8_t, UninitializedAllocator<std::uint8_t>>;

constexpr int kMostClasses = 256;   // a label is one byte
constexpr int kLargestSide = 4096;  // height and width of an image, in any file format

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
  Split train;                        // ends with the validation images
  std::size_t validation_images = 0;  // how many a folder val/ holds
  Split test;
  // [classes], or empty if labels are only numbers (IDX). Bytes that are not UTF-8 are written as \xfc.
  std::vector<std::string> label_names;
  bool is_transposed = false;      // the files hold rows and columns exchanged, judging by their name: EMNIST
  std::size_t skipped_images = 0;  // broken image files left out by LoadOptions::skip_bad_images
  std::string fingerprint;         // identity of the contents: fingerprint()
};

struct LoadOptions {
  std::optional<int> classes = {};  // outputs of the head; empty: the largest training label + 1
  int channels = 1;                 // for a folder of images: 1 grey, 3 colour; IDX files have their own
  bool skip_bad_images = false;     // count broken image files instead of stopping at the first
  bool transpose = false;           // exchange rows and columns of every image
  bool validation = true;           // false: leave a folder's val/ out
  // The labels of a network to test: a folder's labels are found among them by name, others are appended, and training
  // images may be missing.
  std::vector<std::string> label_names = {};
};

// Loads the data set at `path`, which is one of
//   a folder of four IDX files (data/idx.hpp); if several sets share a folder, folder/PREFIX names one;
//   a folder of images, train/LABEL/*.png and test/LABEL/*.png (data/image.hpp).
// IDX files are looked for first. Every label is below `classes`, every image has `shape`, no split is empty, but for
// train in a set to test a network with.
// Throws DataError.
Dataset load_dataset(const std::filesystem::path& path, const LoadOptions& options = {});

// Exchanges rows and columns of every image, and renews the fingerprint.
void transpose(Dataset& dataset);

// Mean and (population) standard deviation of pixel values x / 255.
struct PixelStatistics {
  double mean = 0;
  double deviation = 0;
};

// Throws DataError if the deviation would be 0: no pixels, or all the same.
PixelStatistics pixel_statistics(std::span<const std::uint8_t> values);

// The identity of a data set's contents, for run records: "crc32:e9f4d8b3-...", the CRC-32 of training
// images, training labels, test images and test labels, each in the form of a plain IDX file including its
// header (so that shape and count are covered). For IDX files it is therefore the checksum that `gzip -lv`
// shows. It does not depend on names or compression: the same images in the same order give the same text,
// whether they come from gzip IDX, plain IDX or image files. CRC-32 detects accidents and other versions in
// 4 ms; it does not protect against forgery. The number of validation images follows if there are any.
std::string fingerprint(const Dataset& dataset);

// The places to look for the data set of a run, from any working directory. The first of these is used:
//   1. the path given by --data; if it is wrong, that is an error, and no other place is tried;
//   2. the environment variable TRAINER_DATA, by the same rule;
//   3. MNIST near the program: data/mnist in a folder above it (a build folder in the source tree), or
//      share/mnist-trainer/mnist (an installation);
//   4. MNIST in the folders that were compiled in.
// The caller supplies all inputs, so that a test needs no environment.
struct SearchPlaces {
  std::optional<std::filesystem::path> given = {};      // --data
  std::optional<std::string> environment = {};          // TRAINER_DATA; empty counts as not set
  std::filesystem::path executable = {};                // absolute path of the running program
  std::vector<std::filesystem::path> compiled_in = {};  // folders that hold MNIST, in order of preference
};

// The path to pass to load_dataset. For 3 and 4 it contains IDX files; for 1 and 2 it exists or is a prefix of
// IDX files. Throws a DataError that names every place tried.
std::filesystem::path find_data(const SearchPlaces& places);

}  // namespace trainer::data
