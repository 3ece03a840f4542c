// Pictures: one as bytes from a PNG, JPEG or BMP file and back to PNG, and a folder of them as a data set. image.cpp is the
// only file that sees stb_image.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace trainer::data {

struct Image {
  int height = 0;
  int width = 0;
  int channels = 0;                  // 1 grey, 2 grey + alpha, 3 RGB, 4 RGB + alpha
  std::vector<std::uint8_t> pixels;  // [height, width, channels]; 16-bit files are reduced to 8
};

// Reads the picture at `path`. `channels` 0 keeps what the file has; 1 makes it grey (0.30 R + 0.59 G + 0.11
// B) and 3 RGB, a transparent picture being laid on white, as it is usually seen; 4 adds an alpha of 255 if
// there is none. The size is checked from the header before decoding: at most kLargestEdge each way. Throws
// DataError naming the file: unreadable, no picture, too large, damaged or cut short.
Image read_image(const std::filesystem::path& path, int channels = 0);

// The picture as the bytes of a PNG file, for pages that carry their pictures with them: 8 bits a channel, neither edge 0.
std::vector<std::uint8_t> png_file(const Image& image);

// What is wrong with the picture file in `bytes`, in words with the numbers; empty if nothing was found. stb_image ignores
// the checksums of a PNG file, and reads zeros where a BMP or JPEG file ends too early: a data set must not gain half-black
// pictures that way. Anything but a PNG, JPEG or BMP file is wrong, so that nothing unchecked reaches the decoder.
std::string find_image_damage(std::span<const std::uint8_t> bytes);

// The form of a data set that is a folder of pictures:
//   FOLDER/train/LABEL/*.png       png, jpg, jpeg, bmp, in small letters or capitals
//   FOLDER/test/LABEL/*.png
// The folders below train/ are the labels: in numerical order if all are numbers, else in byte order.
// Pictures come in the order of label, then file name, so that a data set is the same on every machine.
// Hidden files and files of other kinds are passed over.

// Whether `path` is a folder with a folder train or test in it.
bool holds_pictures(const std::filesystem::path& path);

// Loads the pictures, grey or RGB as options.channels says. Fills everything but `fingerprint`, `name` and
// `path`. Throws DataError for a label without pictures, a test label that has no training pictures, more
// than kMostClasses labels, a picture of another size than the first, and, unless they are skipped, broken
// pictures.
Dataset load_image_folder(const std::filesystem::path& path, const LoadOptions& options);

}  // namespace trainer::data
