// Data sets as four IDX files, the form MNIST, Fashion-MNIST, KMNIST and EMNIST are published in. A file may
// be plain or gzip (.gz), its name spelled either way round; where both are there, the plain file and the
// first spelling are read:
//   train-images-idx3-ubyte[.gz]  or  train-images.idx3-ubyte[.gz]     (idx4 for images with channels)
//   train-labels-idx1-ubyte[.gz]  or  train-labels.idx1-ubyte[.gz]
//   t10k-images-..., t10k-labels-...  or  test-images-..., test-labels-...
// EMNIST keeps six sets in one folder under prefixes ("emnist-letters-train-images-idx3-ubyte.gz"): such a
// set is named as folder/PREFIX, and a folder with a single prefix by itself.
#pragma once

#include <filesystem>

#include "data/dataset.hpp"
#include "data/idx_header.hpp"

namespace trainer::data {

// Whether `path` is a folder with at least one file of an IDX data set, or names a prefix of such files.
bool holds_idx(const std::filesystem::path& path);

// The values of one IDX file with the header taken off: [count, h, w, c] or [count].
struct IdxArray {
  IdxHeader header;
  Bytes values;
};

// Reads one file; a name that ends in .gz is gzip. The length is checked against the header before the
// values are allocated. Throws DataError.
IdxArray read_idx(const std::filesystem::path& path, IdxContent content);

// Loads the four files, each in a thread of its own. Fills everything but `fingerprint`, `name` and `path`.
// Throws DataError.
Dataset load_idx(const std::filesystem::path& path, const LoadOptions& options);

}  // namespace trainer::data
