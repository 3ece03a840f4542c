// The head of an IDX file: two zero bytes, the element type, the number of dimensions, then each dimension as
// a big-endian 32-bit number. Behind it come the elements, one byte each, the last dimension fastest.
//   images  00 00 08 03  count height width             or  00 00 08 04  count height width channels
//   labels  00 00 08 01  count
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace trainer::data {

enum class IdxContent { kImages, kLabels };

constexpr std::size_t kLongestIdxHeader = 20;

struct IdxHeader {
  std::uint64_t count = 0;
  ImageShape shape{1, 1, 1};     // of one element; 1x1x1 for labels
  std::size_t header_bytes = 0;  // 8 to 20
  std::uint64_t value_bytes = 0;

  std::uint64_t file_bytes() const { return header_bytes + value_bytes; }
  std::string sizes() const;  // "60000x28x28"
};

// Reads the header in `start`, the first kLongestIdxHeader bytes of the contents of `path` or all of them if
// fewer. Nothing it says can overflow: edges are at most kLargestEdge. Throws DataError.
IdxHeader parse_idx_header(const std::filesystem::path& path, std::span<const std::uint8_t> start,
                           IdxContent content);

// The header that a set of `count` such elements is written with: three dimensions where there is one
// channel.
std::vector<std::uint8_t> make_idx_header(IdxContent content, std::uint64_t count, const ImageShape& shape);

}  // namespace trainer::data
