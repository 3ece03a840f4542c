#include "data/png.hpp"

#include <new>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace trainer::data {

std::vector<std::uint8_t> png_file(const Image& image) {
  std::vector<std::uint8_t> png;
  const auto append = [](void* to, void* bytes, int count) {
    auto* file = static_cast<std::vector<std::uint8_t>*>(to);
    const auto* first = static_cast<const std::uint8_t*>(bytes);
    file->insert(file->end(), first, first + count);
  };
  // It fails for want of memory alone.
  if (stbi_write_png_to_func(append, &png, image.width, image.height, image.channels, image.pixels.data(),
                             0) == 0)
    throw std::bad_alloc();
  return png;
}

}  // namespace trainer::data
