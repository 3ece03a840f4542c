// Targets: data sets and pictures.
#include <array>

#include "data/idx.hpp"
#include "data/image.hpp"
#include "data/input_file.hpp"
#include "tests/fuzz/support.hpp"

namespace trainer::fuzz {

using data::DataError;

namespace {

bool reads_idx(const std::filesystem::path& path) {
  bool taken = false;
  for (const data::IdxContent content : {data::IdxContent::kImages, data::IdxContent::kLabels}) {
    const bool reads = is_taken<DataError>([&] {
      const data::IdxArray array = data::read_idx(path, content);
      require(array.values.size() == array.header.value_bytes,
              "an IDX file has as many values as its header says");
    });
    taken = taken || reads;
  }
  return taken;
}

}  // namespace

bool fuzz_idx(ByteSpan input) {
  return reads_idx(file_of(input));
}

bool fuzz_gzip(ByteSpan input) {
  const bool unpacks = is_taken<DataError>([&] {
    std::vector<std::uint8_t> room(std::size_t{1} << 14);
    const data::Unpacked unpacked = data::gunzip("input", input, room);
    require(unpacked.bytes <= room.size(), "gunzip writes into its room");
  });
  return reads_idx(file_of(input, "input.gz")) || unpacks;
}

bool fuzz_picture(ByteSpan input) {
  constexpr int kLongest = 512;
  const std::filesystem::path path = file_of(input);
  const int channels = input.empty() ? 0 : std::array{0, 1, 3, 4}[input.back() % 4];
  return is_taken<DataError>([&] {
    const data::Image image = data::read_image(path, channels, kLongest);
    require(image.pixels.size() == static_cast<std::size_t>(image.height) *
                                       static_cast<std::size_t>(image.width) *
                                       static_cast<std::size_t>(image.channels),
            "a picture has all of its pixels");
  });
}

}  // namespace trainer::fuzz
