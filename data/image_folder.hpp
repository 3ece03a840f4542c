// A folder of pictures as a data set:
//   FOLDER/train/LABEL/*.png       png, jpg, jpeg, bmp, in small letters or capitals
//   FOLDER/test/LABEL/*.png
// The folders below train/ are the labels: in numerical order if all are numbers, else in byte order.
// Pictures come in the order of label, then file name, so that a data set is the same on every machine.
// Hidden files and files of other kinds are passed over.
#pragma once

#include <filesystem>

#include "data/dataset.hpp"

namespace trainer::data {

// Whether `path` is a folder with a folder train or test in it.
bool holds_pictures(const std::filesystem::path& path);

// Loads the pictures, grey or RGB as options.channels says. Fills everything but `fingerprint`, `name` and
// `path`. Throws DataError for a label without pictures, a test label that has no training pictures, more
// than kMostClasses labels, a picture of another size than the first, and, unless they are skipped, broken
// pictures.
Dataset load_image_folder(const std::filesystem::path& path, const LoadOptions& options);

}  // namespace trainer::data
