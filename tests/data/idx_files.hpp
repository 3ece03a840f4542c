// IDX data sets for tests, as bytes and as files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.hpp"

namespace trainer::test {

// The file of an array: sizes as the header gives them, then the values.
inline std::vector<std::uint8_t> idx_bytes(const std::vector<std::uint32_t>& sizes,
                                           const std::vector<std::uint8_t>& values) {
  std::vector<std::uint8_t> bytes{0, 0, 8, static_cast<std::uint8_t>(sizes.size())};
  for (const std::uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(size >> shift));
  }
  bytes.insert(bytes.end(), values.begin(), values.end());
  return bytes;
}

// A small data set: image i is filled with pixels i, i + 1, ... (modulo 256), and has the given label.
struct IdxSet {
  std::uint32_t height = 3;
  std::uint32_t width = 2;
  std::vector<std::uint8_t> train_labels{0, 1, 2, 1};
  std::vector<std::uint8_t> test_labels{2, 0};

  std::vector<std::uint8_t> images(std::size_t count) const {
    std::vector<std::uint8_t> pixels;
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t at = 0; at < height * width; ++at) pixels.push_back(static_cast<std::uint8_t>(i + at));
    }
    return idx_bytes({static_cast<std::uint32_t>(count), height, width}, pixels);
  }
  static std::vector<std::uint8_t> labels(const std::vector<std::uint8_t>& values) {
    return idx_bytes({static_cast<std::uint32_t>(values.size())}, values);
  }

  // Writes the four plain files into `folder`, below it where the prefix has a slash.
  void write(const TemporaryFolder& folder, const std::string& prefix = "") const {
    folder.write(prefix + "train-images-idx3-ubyte", images(train_labels.size()));
    folder.write(prefix + "train-labels-idx1-ubyte", labels(train_labels));
    folder.write(prefix + "t10k-images-idx3-ubyte", images(test_labels.size()));
    folder.write(prefix + "t10k-labels-idx1-ubyte", labels(test_labels));
  }
};

}  // namespace trainer::test
