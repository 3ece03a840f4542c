#include "data/idx_header.hpp"

#include "data/refuse.hpp"

namespace trainer::data {
namespace {

constexpr unsigned kUnsignedByte = 0x08;

std::uint32_t big_endian32(std::span<const std::uint8_t> bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
         bytes[3];
}

std::uint32_t expected_magic(IdxContent content) {
  return content == IdxContent::kImages ? 0x00000803 : 0x00000801;
}

const char* noun(IdxContent content) {
  return content == IdxContent::kImages ? "images" : "labels";
}

// What a wrong magic number most likely is, to put behind the two numbers.
const char* meaning(std::uint32_t magic) {
  if (magic == 0x00000801) return "; this is a file of labels";
  if (magic == 0x00000803 || magic == 0x00000804) return "; this is a file of images";
  if (magic >> 16 == 0x1f8b) return "; this is gzip data: its name must end in .gz";
  return "";
}

void check_magic(const std::filesystem::path& path, std::uint32_t magic, IdxContent content) {
  const std::uint32_t wanted = expected_magic(content);
  if (magic == wanted || (content == IdxContent::kImages && magic == 0x00000804)) return;
  const std::uint32_t type = magic >> 8;
  const bool other_type = type != kUnsignedByte && (type == 0x09 || (type >= 0x0b && type <= 0x0e));
  if (other_type) {
    refuse(path, "IDX elements of type 0x{:02x}; only 0x{:02x} (unsigned byte) is read", type, kUnsignedByte);
  }
  refuse(path, "magic number 0x{:08x}, not 0x{:08x} (IDX {}){}", magic, wanted, noun(content),
         meaning(magic));
}

void check_shape(const std::filesystem::path& path, const std::vector<std::uint32_t>& sizes) {
  const std::uint32_t height = sizes[1];
  const std::uint32_t width = sizes[2];
  const std::uint32_t channels = sizes.size() == 4 ? sizes[3] : 1;
  if (height == 0 || width == 0) refuse(path, "images of {}x{} pixels: a size of zero", height, width);
  if (height > kLargestSide || width > kLargestSide) {
    refuse(path, "images of {}x{} pixels; at most {}x{} are read", height, width, kLargestSide, kLargestSide);
  }
  if (channels != 1 && channels != 3) {
    refuse(path, "images of {} channels (sizes {}x{}x{}x{}); 1 and 3 are read", channels, sizes[0], height,
           width, channels);
  }
}

}  // namespace

std::string IdxHeader::sizes() const {
  if (header_bytes == 8) return fmt::format("{}", count);
  const std::string three = fmt::format("{}x{}x{}", count, shape.height, shape.width);
  return header_bytes == 16 ? three : fmt::format("{}x{}", three, shape.channels);
}

IdxHeader parse_idx_header(const std::filesystem::path& path, std::span<const std::uint8_t> start,
                           IdxContent content) {
  const std::size_t shortest = content == IdxContent::kImages ? 16 : 8;
  if (start.size() < 4) {
    refuse(path, "holds {} bytes, fewer than the {} of an IDX header of {}", start.size(), shortest,
           noun(content));
  }
  check_magic(path, big_endian32(start), content);
  const std::size_t dimensions = start[3];
  IdxHeader header;
  header.header_bytes = 4 + 4 * dimensions;
  if (start.size() < header.header_bytes) {
    refuse(path, "holds {} bytes, fewer than the {} of an IDX header of {}", start.size(),
           header.header_bytes, noun(content));
  }
  std::vector<std::uint32_t> sizes;
  for (std::size_t i = 0; i < dimensions; ++i) sizes.push_back(big_endian32(start.subspan(4 + 4 * i)));
  header.count = sizes[0];
  if (content == IdxContent::kImages) {
    check_shape(path, sizes);
    header.shape = {static_cast<int>(sizes[1]), static_cast<int>(sizes[2]),
                    dimensions == 4 ? static_cast<int>(sizes[3]) : 1};
  }
  if (header.count == 0) refuse(path, "holds 0 {}; at least 1 is needed", noun(content));
  header.value_bytes = header.count * header.shape.bytes();
  return header;
}

std::vector<std::uint8_t> make_idx_header(IdxContent content, std::uint64_t count, const ImageShape& shape) {
  std::vector<std::uint64_t> sizes{count};
  if (content == IdxContent::kImages) {
    sizes.push_back(static_cast<std::uint64_t>(shape.height));
    sizes.push_back(static_cast<std::uint64_t>(shape.width));
    if (shape.channels != 1) sizes.push_back(static_cast<std::uint64_t>(shape.channels));
  }
  std::vector<std::uint8_t> bytes{0, 0, kUnsignedByte, static_cast<std::uint8_t>(sizes.size())};
  for (const std::uint64_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(size >> shift));
  }
  return bytes;
}

}  // namespace trainer::data
