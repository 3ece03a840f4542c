// Data sets as four IDX files, the form in which MNIST, Fashion-MNIST, KMNIST, EMNIST and QMNIST are published. A file
// may be plain, gzip, or gzip twice: its contents decide, not its name. The name has either spelling; if there are
// several, the first spelling and the one without .gz are read:
//   train-images-idx3-ubyte[.gz]  or  train-images.idx3-ubyte[.gz]     (idx4 for images with channels)
//   train-labels-idx1-ubyte[.gz]  or  train-labels.idx1-ubyte[.gz]     (idx2-int for QMNIST's labels)
//   t10k-images-..., t10k-labels-...  or  test-images-..., test-labels-...
// torchvision keeps them in NAME/raw/ of its root, which may be named instead, if only one set is in it.
// EMNIST keeps six sets in one folder under prefixes ("emnist-letters-train-images-idx3-ubyte.gz"): such a set is
// named folder/PREFIX; if a folder has only one prefix, the folder alone is enough.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace trainer::data {

// The header of an IDX file: two zero bytes, the element type, the number of dimensions, then each dimension as
// a big-endian 32-bit number. The elements follow it, one byte each, the last dimension varying fastest.
//   images  00 00 08 03  count height width             or  00 00 08 04  count height width channels
//   labels  00 00 08 01  count                         or  00 00 0c 02  count columns: numbers of 32 bits, of which the
//                                                      first of each row is the class (QMNIST)
enum class IdxContent { kImages, kLabels };

constexpr std::size_t kLongestIdxHeader = 20;

struct IdxHeader {
  std::uint64_t count = 0;
  Shape shape;                   // one image; 1x1x1 for labels
  std::size_t header_bytes = 0;  // 8 to 20
  std::uint64_t value_bytes = 0;
  std::size_t label_bytes = 1;  // between two labels

  std::uint64_t file_bytes() const { return header_bytes + value_bytes; }
  std::string sizes() const;  // "60000x28x28"
};

// Parses the header in `start`, the first kLongestIdxHeader bytes of the contents of `path`, or all of them if there
// are fewer. None of its sizes can overflow: height and width are at most kLargestSide. Throws DataError.
IdxHeader parse_idx_header(const std::filesystem::path& path, std::span<const std::uint8_t> start,
                           IdxContent content);

// The header of an IDX file with `count` images of `shape`, or labels; images with one channel have three
// dimensions.
std::vector<std::uint8_t> make_idx_header(IdxContent content, std::uint64_t count, const Shape& shape);

// The four files of a data set.
struct IdxFiles {
  std::filesystem::path train_images;
  std::filesystem::path train_labels;
  std::filesystem::path test_images;
  std::filesystem::path test_labels;
};

// Prefixes ("" or "emnist-letters-") of the IDX files in `folder`; none if it is not a folder or has no such files.
std::set<std::string> idx_prefixes(const std::filesystem::path& folder);

// The four files of the set that `path` names. Throws a DataError that lists the names that were looked for if a file
// is missing, or the choices if there are several sets.
IdxFiles find_idx_files(const std::filesystem::path& path);

// Whether `path` is a folder with at least one file of an IDX data set (or NAME/raw/ in it), or a prefix of such files.
bool holds_idx(const std::filesystem::path& path);

// The contents of one IDX file; the values, without the header, are [count, h, w, c] or [count].
struct IdxArray {
  IdxHeader header;
  Bytes values;
};

// Reads one file, packed or not; labels are reduced to one byte each. The length is checked against the header before
// the values are allocated. Throws DataError.
IdxArray read_idx(const std::filesystem::path& path, IdxContent content);

// Loads the four files, each in a thread of its own. Fills everything but `fingerprint`, `name` and `path`.
// Throws DataError.
Dataset load_idx(const std::filesystem::path& path, const LoadOptions& options);

}  // namespace trainer::data
