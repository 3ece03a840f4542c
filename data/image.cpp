#include "data/image.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>

#include "data/input_file.hpp"

namespace {

// This limit, set for each picture, stops files whose compressed data need far more than their header says. stb_image reports
// "outofmem" for them, and where the system refuses memory, so that is remembered.
thread_local std::size_t largest_allocation = 0;
thread_local bool system_refused = false;

// The memory is zeroed because the decoder reads a JPEG Huffman table even if the file does not define it.
void* bounded_reallocate(void* old, std::size_t bytes) {
  if (bytes > largest_allocation) return nullptr;
  void* block = old == nullptr ? std::calloc(bytes, 1) : std::realloc(old, bytes);
  system_refused = system_refused || block == nullptr;
  return block;
}

}  // namespace

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_ASSERT(condition)  // some assertions fail for damaged files, which stb_image then refuses
#define STBI_MALLOC(bytes) bounded_reallocate(nullptr, bytes)
#define STBI_REALLOC(old, bytes) bounded_reallocate(old, bytes)
#define STBI_FREE(old) std::free(old)
#include <stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace trainer::data {
namespace {

constexpr std::uint64_t kLargestFile = std::uint64_t{256} << 20;
constexpr std::size_t kMostMemory = std::size_t{512} << 20;
constexpr std::size_t kMargin = std::size_t{16} << 20;  // for rows padded to whole blocks, and tables

struct FreePixels {
  void operator()(stbi_uc* pixels) const { stbi_image_free(pixels); }
};

// A picture as stb_image leaves it.
struct Stored {
  int height = 0, width = 0, channels = 0, orientation = 1;
  std::unique_ptr<stbi_uc, FreePixels> pixels;

  std::size_t count() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
};

using Pixel = std::array<int, 4>;  // red, green, blue, alpha

int luma(const Pixel& pixel) {
  return (77 * pixel[0] + 150 * pixel[1] + 29 * pixel[2]) >> 8;
}

Pixel stored_pixel(const Stored& stored, std::size_t index) {
  const std::uint8_t* from = stored.pixels.get() + index * static_cast<std::size_t>(stored.channels);
  if (stored.channels <= 2) return {from[0], from[0], from[0], stored.channels == 2 ? from[1] : 255};
  return {from[0], from[1], from[2], stored.channels == 4 ? from[3] : 255};
}

// The brightness to lay a transparent picture on: white, unless what is visible is nearly white itself.
int ground_of(const Stored& stored) {
  constexpr std::int64_t kNearlyWhite = 192;
  std::int64_t light = 0, opacity = 0;
  for (std::size_t i = 0; stored.channels % 2 == 0 && i < stored.count(); ++i) {
    const Pixel pixel = stored_pixel(stored, i);
    light += std::int64_t{luma(pixel)} * pixel[3];
    opacity += pixel[3];
  }
  return opacity > 0 && light >= kNearlyWhite * opacity ? 0 : 255;
}

// Appends a pixel; if `channels` have no alpha, it is laid on `ground`.
void append(std::vector<std::uint8_t>& pixels, Pixel pixel, int channels, int ground) {
  const int alpha = channels % 2 == 0 ? 255 : pixel[3];
  for (std::size_t c = 0; c < 3; ++c) pixel[c] = (pixel[c] * alpha + ground * (255 - alpha) + 127) / 255;
  if (channels <= 2) pixel = {luma(pixel), pixel[3]};
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c)
    pixels.push_back(static_cast<std::uint8_t>(pixel[c]));
}

// The picture upright, with `channels`. Orientations from 5 on exchange rows and columns.
Image converted(const Stored& stored, int channels) {
  const int orientation = stored.orientation;
  const bool turned = orientation >= 5;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  Image image{turned ? stored.width : stored.height, turned ? stored.height : stored.width, channels, {}};
  image.pixels.reserve(stored.count() * static_cast<std::size_t>(channels));
  const int ground = ground_of(stored);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      int row = turned ? x : y;
      int column = turned ? y : x;
      if (from_bottom) row = stored.height - 1 - row;
      if (from_right) column = stored.width - 1 - column;
      const auto index = static_cast<std::size_t>(row) * static_cast<std::size_t>(stored.width) +
                         static_cast<std::size_t>(column);
      append(image.pixels, stored_pixel(stored, index), channels, ground);
    }
  }
  return image;
}

// Throws a DataError if the picture is too large.
void check_size(const std::filesystem::path& path, const Stored& stored, int longest) {
  const int height = stored.height, width = stored.width;
  if (height >= 1 && width >= 1 && std::max(height, width) <= longest && height <= kMostPixels / width)
    return;
  refuse(path, "a picture of {}x{} pixels (height x width); at most {} are read", height, width,
         longest == kLargestSide ? fmt::format("{0}x{0}", longest) : "50 million");
}

bool is_framed_digit(std::span<const std::uint8_t> image, const Shape& shape) {
  constexpr int kInk = 64;
  const double scale = std::min(shape.h, shape.w) / 28.0;
  int top = shape.h, bottom = 0, left = shape.w, right = 0;
  double mass = 0, mass_y = 0, mass_x = 0;
  for (int y = 0; y < shape.h; ++y) {
    for (int x = 0; x < shape.w; ++x) {
      const int value = image[static_cast<std::size_t>(y) * static_cast<std::size_t>(shape.w) +
                              static_cast<std::size_t>(x)];
      mass += value;
      mass_y += value * (y + 0.5);
      mass_x += value * (x + 0.5);
      if (value < kInk) continue;
      top = std::min(top, y);
      bottom = y + 1;
      left = std::min(left, x);
      right = std::max(right, x + 1);
    }
  }
  const auto is_middle = [&](double centre, int size) {
    return std::abs(centre - (size + scale) / 2) <= 1.5 * scale;
  };
  const int longer = std::max(bottom - top, right - left);
  return std::abs(longer - 20 * scale) <= 2 * scale && is_middle(mass_y / mass, shape.h) &&
         is_middle(mass_x / mass, shape.w);
}

}  // namespace

Image read_image(const std::filesystem::path& path, int channels, int longest) {
  Bytes bytes = InputFile(path).read_all(kLargestFile);
  Stored stored;
  stored.orientation = check_image_file(path, bytes);
  const int length = static_cast<int>(bytes.size());
  const auto refuse_broken = [&] {
    if (system_refused) throw std::bad_alloc();
    refuse(path, "broken picture of {} bytes: {}", bytes.size(), stbi_failure_reason());
  };
  largest_allocation = kMargin;
  system_refused = false;
  if (stbi_info_from_memory(bytes.data(), length, &stored.width, &stored.height, &stored.channels) == 0)
    refuse_broken();
  stored.height = std::abs(std::max(stored.height, -INT_MAX));  // below 0: a BMP from the top down
  check_size(path, stored, longest);
  const std::size_t bits = static_cast<std::size_t>(stored.channels) *
                           (stbi_is_16_bit_from_memory(bytes.data(), length) != 0 ? 16 : 8);
  // The unpacked data of a PNG file are held beside the file, then beside the pixels.
  const std::size_t needed = stored.count() * bits / 4 + bytes.size();
  if (needed > kMostMemory)
    refuse(path,
           "a picture of {}x{} pixels (height x width) of {} bits takes {} MiB to read; at most {} are used",
           stored.height, stored.width, bits, needed >> 20, kMostMemory >> 20);
  largest_allocation = kMargin + needed + bytes.size();
  stored.pixels.reset(
      stbi_load_from_memory(bytes.data(), length, &stored.width, &stored.height, &stored.channels, 0));
  if (!stored.pixels) refuse_broken();
  return converted(stored, channels == 0 ? stored.channels : channels);
}

std::vector<std::uint8_t> png_file(const Image& image) {
  std::vector<std::uint8_t> png;
  const auto append = [](void* to, void* bytes, int count) {
    auto* file = static_cast<std::vector<std::uint8_t>*>(to);
    const auto* first = static_cast<const std::uint8_t*>(bytes);
    file->insert(file->end(), first, first + count);
  };
  // This fails only if there is no memory.
  if (stbi_write_png_to_func(append, &png, image.width, image.height, image.channels, image.pixels.data(),
                             0) == 0)
    throw std::bad_alloc();
  return png;
}

bool have_digit_form(std::span<const std::uint8_t> images, const Shape& shape) {
  constexpr std::size_t kMost = 1000;
  const std::size_t count = images.size() / shape.size();
  const std::size_t seen = std::min(count, kMost);
  std::size_t framed = 0;
  for (std::size_t i = 0; shape.c == 1 && i < seen; ++i)
    framed += is_framed_digit(images.subspan(i * count / seen * shape.size(), shape.size()), shape) ? 1 : 0;
  return framed > 0 && framed * 10 >= seen * 9;
}

}  // namespace trainer::data
