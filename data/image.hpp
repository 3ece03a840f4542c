// Image files: reading one from PNG, JPEG or BMP, writing one as PNG, a folder of them as a data set, and the form of its images.
// image.cpp is the only file that uses stb_image.
#pragma once

#include <climits>
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

// The largest picture that is read: what telephones call 50 megapixels.
constexpr std::int64_t kMostPixels = 8192 * 6144;
constexpr int kAnySide = INT_MAX;

// Reads the image at `path`, upright if it says how it is turned (EXIF). `channels` 0 keeps the channels of the file; 1 converts
// it to grey (0.30 R + 0.59 G + 0.11 B) and 3 to RGB, both on a white background if it is transparent, or on black if what is
// visible is nearly white; 4 adds an alpha of 255 if there is none. The size in the header is checked before decoding: at most
// `longest` each way and kMostPixels. Throws a DataError naming the file if it is unreadable, not an image, of a format that is
// not read, too large, damaged or cut short.
Image read_image(const std::filesystem::path& path, int channels = 0, int longest = kLargestSide);

// The bytes of a PNG file of `image`, for pages that embed their images: 8 bits per channel. Neither side may be 0.
std::vector<std::uint8_t> png_file(const Image& image);

// Checks the image file in `bytes` before it is decoded. stb_image ignores the checksums of a PNG file, and reads zeros
// after the end of a truncated BMP or JPEG file, which would put half-black images into a data set. Anything but a PNG, JPEG or
// BMP file is refused, so that no unchecked bytes reach the decoder. Rewrites a BMP header that stb_image would not understand.
// Returns the EXIF orientation, 1 to 8. Throws a DataError with what is wrong, in numbers, or with the name of the format.
int check_image_file(const std::filesystem::path& path, Bytes& bytes);

// The form of a data set that is a folder of images:
//   FOLDER/train/LABEL/*.png       png, jpg, jpeg, bmp, in lower or upper case; or training/
//   FOLDER/test/LABEL/*.png        or testing/
//   FOLDER/val/LABEL/*.png         the images to validate on, if it has any; or valid/, validation/
// The folders in train/ are the labels: in numerical order if all are numbers, else in byte order.
// Images are sorted by label, then by file name, so that a data set is the same on every machine.
// Hidden files, files of other kinds and what archivers and network disks leave behind are ignored.

// The folders of a data set; empty: there is none.
struct PictureFolders {
  std::filesystem::path train, validation, test;

  bool any() const { return !train.empty() || !test.empty(); }
};

// Throws DataError if `path` holds two for the same images, such as train/ and training/.
PictureFolders find_picture_folders(const std::filesystem::path& path);

// Loads the images, grey or RGB according to options.channels. Fills everything but `fingerprint`, `name` and
// `path`. Throws DataError for a label without images, a test label that has no training images (but see
// LoadOptions::label_names), more than kMostClasses labels, images of several sizes, and, unless they are skipped, broken
// images.
Dataset load_image_folder(const std::filesystem::path& path, const LoadOptions& options);

// The form of a data set's images: MNIST's, to which every picture for the network is then fitted, or any other, in which case
// pictures are used as they are. A checkpoint stores it, since the weights do not show it.
inline constexpr const char* kMnistFingerprint = "crc32:e9f4d8b3-e0cb4ad2-91373bdf-4ab9eff9";

// Whether images of `shape` are light digits on black, their longer side 20/28 of the image and their centre of mass in its
// middle, as MNIST's makers framed them. Of many images a thousand are checked; nine of ten must have this form.
bool have_digit_form(std::span<const std::uint8_t> images, const Shape& shape);

}  // namespace trainer::data
