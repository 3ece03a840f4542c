#include "trainer/report/data_sheet.hpp"

#include <algorithm>
#include <cmath>

#include "trainer/report/network_pictures.hpp"

namespace trainer {

namespace {

constexpr int kPicturesInRow = 10;

// Image `number` as an epoch of training shows it.
data::Image changed_image(const data::Dataset& data, const Augmentation& augmentation, std::uint64_t seed,
                          std::uint64_t epoch, std::size_t number) {
  const Shape& shape = data.shape;
  const std::uint8_t* pixels = data.train.images.data() + number * shape.size();
  const Transformation t =
      transformation_of(augmentation, shape, seed, epoch, static_cast<std::uint32_t>(number));
  std::vector<std::uint8_t> changed;
  changed.reserve(shape.size());
  for (int y = 0; y < shape.h; ++y)
    for (int x = 0; x < shape.w; ++x)
      for (int c = 0; c < shape.c; ++c)
        changed.push_back(static_cast<std::uint8_t>(std::lround(pixel_of(t, pixels, shape, y, x, c))));
  return shown_image(changed, shape);
}

}  // namespace

data::Image data_sheet(const data::Dataset& data, const Augmentation& augmentation, std::uint64_t seed,
                       std::size_t most_rows) {
  std::vector<data::Image> pictures;
  const auto labels = static_cast<std::size_t>(data.classes);
  for (std::size_t label = 0; label < labels && pictures.size() < most_rows * kPicturesInRow; ++label) {
    std::vector<std::size_t> images;
    for (std::size_t i = 0; i < data.train.count() && images.size() < kPicturesInRow; ++i)
      if (data.train.labels[i] == label) images.push_back(i);
    if (images.empty()) continue;
    for (std::size_t column = 0; column < kPicturesInRow; ++column) {
      const std::size_t image = augmentation.any() ? images[0] : images[std::min(column, images.size() - 1)];
      pictures.push_back(
          changed_image(data, column == 0 ? Augmentation{} : augmentation, seed, column, image));
    }
  }
  return picture_sheet(pictures);
}

}  // namespace trainer
