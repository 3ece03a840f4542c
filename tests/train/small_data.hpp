// A small data set that can be learnt, and a small network to learn it: trainings of milliseconds.
//   Images of 12x12: class 0 a vertical bar, 1 a horizontal one, 2 a diagonal, 3 a square, at random places
//   over noise. Everything is a function of the seed.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/data/idx_files.hpp"
#include "tests/support/temporary_folder.hpp"

namespace trainer::test {

constexpr std::uint32_t kSmallEdge = 12;
constexpr int kSmallClasses = 4;

struct SmallData {
  std::uint32_t train = 200;
  std::uint32_t test = 100;
  bool shuffled_labels = false;  // of the training images: nothing to learn
  std::uint32_t seed = 7;
};

// The four strokes on a field of kSmallEdge x kSmallEdge.
inline std::vector<std::uint8_t> small_picture(int label, std::mt19937& random) {
  std::vector<std::uint8_t> pixels(kSmallEdge * kSmallEdge);
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random() % 40);
  const std::uint32_t top = 1 + random() % 4;
  const std::uint32_t left = 1 + random() % 4;
  const auto ink = [&](std::uint32_t y, std::uint32_t x) {
    pixels[(top + y) * kSmallEdge + left + x] = static_cast<std::uint8_t>(180 + random() % 70);
  };
  for (std::uint32_t i = 0; i < 7; ++i) {
    if (label == 0) ink(i, 3);
    if (label == 1) ink(3, i);
    if (label == 2) ink(i, i);
    if (label == 3) {
      for (const std::uint32_t edge : {0U, 6U}) {
        ink(i, edge);
        ink(edge, i);
      }
    }
  }
  return pixels;
}

inline void write_small_split(const TemporaryFolder& folder, const std::string& prefix, std::uint32_t count,
                              bool shuffled_labels, std::mt19937& random) {
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;
  for (std::uint32_t i = 0; i < count; ++i) {
    const int label = static_cast<int>(i) % kSmallClasses;
    const std::vector<std::uint8_t> picture = small_picture(label, random);
    pixels.insert(pixels.end(), picture.begin(), picture.end());
    labels.push_back(shuffled_labels ? static_cast<std::uint8_t>(random() % kSmallClasses)
                                     : static_cast<std::uint8_t>(label));
  }
  folder.write(prefix + "-images-idx3-ubyte", idx_bytes({count, kSmallEdge, kSmallEdge}, pixels));
  folder.write(prefix + "-labels-idx1-ubyte", idx_bytes({count}, labels));
}

// Writes the data set into `folder`/data and gives that path.
inline std::string write_small_data(const TemporaryFolder& folder, const SmallData& data = {}) {
  std::mt19937 random(data.seed);
  write_small_split(folder, "data/train", data.train, data.shuffled_labels, random);
  write_small_split(folder, "data/t10k", data.test, false, random);
  return (folder / "data").string();
}

struct SmallNetwork {
  std::string optimizer = "{sgd: {momentum: 0.9}}";
  std::string rate = "0.02";
  int batch = 16;
  std::string length = "epochs: 2";
  std::string order = "shuffled";
  std::string last_batch = "mask";
  bool dropout_and_batchnorm = false;
  std::string layers = "";       // before the last one, whole lines; empty: the usual ones
  std::string more_recipe = "";  // whole lines, indented by two
};

inline std::string small_network(const SmallNetwork& n = {}) {
  const std::string norm = n.dropout_and_batchnorm ? "  - batchnorm\n" : "";
  const std::string drop = n.dropout_and_batchnorm ? "  - dropout: {drop: 0.25}\n" : "";
  const std::string usual = "  - conv: {out: 4, kernel: 3}\n" + norm + "  - relu\n  - maxpool: {size: 2}\n" +
                            drop + "  - dense: {out: 16}\n  - relu\n";
  return "name: small\nlayers:\n" + (n.layers.empty() ? usual : n.layers) +
         "  - dense: {out: classes}\nrecipe:\n  optimizer: " + n.optimizer + "\n  rate: " + n.rate +
         "\n  batch: " + std::to_string(n.batch) + "\n  " + n.length + "\n  order: " + n.order +
         "\n  last_batch: " + n.last_batch + "\n" + n.more_recipe;
}

}  // namespace trainer::test
