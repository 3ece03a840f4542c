#include "data/image.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "data/input_file.hpp"

namespace {

// An image of 4096 x 4096 RGBA pixels of 16 bits takes 128 MiB. This limit stops files whose compressed data need
// far more than their header says: stb_image reports "outofmem".
constexpr std::size_t kLargestAllocation = std::size_t{256} << 20;

// The memory is zeroed because the decoder reads a JPEG code table even if the file does not define it.
void* bounded_allocate(std::size_t bytes) {
  return bytes > kLargestAllocation ? nullptr : std::calloc(bytes, 1);
}

void* bounded_reallocate(void* old, std::size_t bytes) {
  return bytes > kLargestAllocation ? nullptr : std::realloc(old, bytes);
}

}  // namespace

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_ASSERT(condition)  // some assertions fail for damaged files, which stb_image then refuses
#define STBI_MALLOC(bytes) bounded_allocate(bytes)
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

struct FreePixels {
  void operator()(stbi_uc* pixels) const { stbi_image_free(pixels); }
};

struct Pixel {
  int red, green, blue, alpha;
};

Pixel stored_pixel(const std::uint8_t* from, int channels) {
  if (channels <= 2) return {from[0], from[0], from[0], channels == 2 ? from[1] : 255};
  return {from[0], from[1], from[2], channels == 4 ? from[3] : 255};
}

int over_white(int value, int alpha) {
  return (value * alpha + 255 * (255 - alpha) + 127) / 255;
}

void append(std::vector<std::uint8_t>& pixels, const Pixel& pixel, int channels) {
  if (channels == 4) {
    for (const int value : {pixel.red, pixel.green, pixel.blue, pixel.alpha}) {
      pixels.push_back(static_cast<std::uint8_t>(value));
    }
    return;
  }
  const int red = over_white(pixel.red, pixel.alpha);
  const int green = over_white(pixel.green, pixel.alpha);
  const int blue = over_white(pixel.blue, pixel.alpha);
  if (channels == 1) {
    pixels.push_back(static_cast<std::uint8_t>((77 * red + 150 * green + 29 * blue) >> 8));
  } else {
    for (const int value : {red, green, blue}) pixels.push_back(static_cast<std::uint8_t>(value));
  }
}

Image with_channels(Image image, int channels) {
  if (channels == 0 || channels == image.channels) return image;
  Image changed{image.height, image.width, channels, {}};
  const std::size_t count = image.pixels.size() / static_cast<std::size_t>(image.channels);
  changed.pixels.reserve(count * static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* from = &image.pixels[i * static_cast<std::size_t>(image.channels)];
    append(changed.pixels, stored_pixel(from, image.channels), channels);
  }
  return changed;
}

}  // namespace

Image read_image(const std::filesystem::path& path, int channels) {
  const Bytes bytes = InputFile(path).read_all(kLargestFile);
  const int length = static_cast<int>(bytes.size());
  if (const std::string damage = find_image_damage(bytes); !damage.empty()) {
    refuse(path, "{}", damage);
  }
  Image image;
  if (stbi_info_from_memory(bytes.data(), length, &image.width, &image.height, &image.channels) == 0) {
    refuse(path, "broken picture of {} bytes: {}", bytes.size(), stbi_failure_reason());
  }
  const auto fits = [](int side) { return side >= 1 && side <= kLargestSide; };
  if (!fits(image.width) || !fits(image.height)) {
    refuse(path, "a picture of {}x{} pixels (height x width); at most {}x{} are read", image.height,
           image.width, kLargestSide, kLargestSide);
  }
  const std::unique_ptr<stbi_uc, FreePixels> decoded(
      stbi_load_from_memory(bytes.data(), length, &image.width, &image.height, &image.channels, 0));
  if (!decoded) refuse(path, "broken picture of {} bytes: {}", bytes.size(), stbi_failure_reason());
  const auto count = static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width);
  image.pixels.assign(decoded.get(), decoded.get() + count * static_cast<std::size_t>(image.channels));
  return with_channels(std::move(image), channels);
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

}  // namespace trainer::data
