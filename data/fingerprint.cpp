#include "data/fingerprint.hpp"

#include <fmt/format.h>
#include <libdeflate.h>
#include <span>

#include "data/idx_header.hpp"

namespace trainer::data {
namespace {

std::uint32_t checksum(IdxContent content, std::size_t count, const ImageShape& shape,
                       std::span<const std::uint8_t> values) {
  const std::vector<std::uint8_t> header = make_idx_header(content, count, shape);
  return libdeflate_crc32(libdeflate_crc32(0, header.data(), header.size()), values.data(), values.size());
}

std::string checksums(const Split& split, const ImageShape& shape) {
  return fmt::format("{:08x}-{:08x}", checksum(IdxContent::kImages, split.count(), shape, split.images),
                     checksum(IdxContent::kLabels, split.count(), shape, split.labels));
}

}  // namespace

std::string fingerprint(const Dataset& dataset) {
  return fmt::format("crc32:{}-{}", checksums(dataset.train, dataset.shape),
                     checksums(dataset.test, dataset.shape));
}

}  // namespace trainer::data
