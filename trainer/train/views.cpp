#include "trainer/train/views.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace trainer {

namespace {

constexpr std::array<std::array<int, 2>, kViews - 1> kShifts{{{-1, 0}, {1, 0}, {0, -1}, {0, 1}}};

std::size_t asked_again(std::size_t images) {
  constexpr std::size_t kFewImages = 100;
  return std::min(images, std::max(kFewImages, (images + 9) / 10));
}

// The positions of the images whose two largest logits differ least.
std::vector<std::size_t> least_certain(const std::vector<float>& logits, std::size_t classes) {
  const std::size_t count = logits.size() / classes;
  std::vector<std::pair<float, std::size_t>> margins;
  margins.reserve(count);
  for (std::size_t n = 0; n < count; ++n) {
    std::array<float, 2> most{};
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(n * classes);
    std::partial_sort_copy(row, row + static_cast<std::ptrdiff_t>(classes), most.begin(), most.end(),
                           std::greater<>());
    margins.emplace_back(most[0] - most[1], n);
  }
  std::ranges::sort(margins);
  margins.resize(asked_again(count));
  std::vector<std::size_t> chosen;
  chosen.reserve(margins.size());
  for (const auto& [margin, n] : margins) chosen.push_back(n);
  return chosen;
}

// Appends the image, moved down and right by so many pixels, row by row.
void append_shifted(const std::uint8_t* image, const Shape& shape, int down, int right,
                    std::vector<std::uint8_t>& images) {
  const std::size_t begin = images.size(), row = shape.w * shape.c, off = std::abs(right) * shape.c;
  images.resize(begin + shape.size());
  for (int y = std::max(down, 0); y < shape.h + std::min(down, 0); ++y) {
    const std::uint8_t* from = image + (y - down) * row + (right < 0 ? off : 0);
    std::copy_n(from, row - off, images.data() + begin + y * row + (right > 0 ? off : 0));
  }
}

}  // namespace

std::size_t shifted_images(std::size_t images) {
  return asked_again(images) * kShifts.size();
}

double log_sum_exp(std::span<const float> logits) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float y : logits) sum += std::exp(y - most);
  return most + std::log(sum);
}

void take_log_softmax(std::span<float> logits, std::size_t classes, double weight) {
  for (; !logits.empty(); logits = logits.subspan(classes)) {
    const std::span<float> row = logits.first(classes);
    const double whole = log_sum_exp(row);
    for (float& value : row) value = static_cast<float>(weight * (value - whole));
  }
}

std::vector<float> with_views(std::vector<float> logits, std::span<const std::uint8_t> images,
                              const Shape& image, const LogitsOf& logits_of) {
  if (logits.empty() || !std::ranges::all_of(logits, [](float y) { return std::isfinite(y); })) return logits;
  const std::size_t classes = logits.size() / (images.size() / image.size());
  const std::vector<std::size_t> chosen = least_certain(logits, classes);
  std::vector<std::uint8_t> shifted;
  shifted.reserve(chosen.size() * kShifts.size() * image.size());
  for (const std::size_t n : chosen)
    for (const auto& [down, right] : kShifts)
      append_shifted(images.data() + n * image.size(), image, down, right, shifted);
  std::vector<float> more = logits_of(shifted);
  constexpr double kShare = 1.0 / (kViews + 1);
  take_log_softmax(more, classes, kShare);
  const float* view = more.data();
  for (const std::size_t n : chosen) {
    const std::span<float> row(logits.data() + n * classes, classes);
    take_log_softmax(row, classes, 2 * kShare);
    for (std::size_t v = 0; v < kShifts.size(); ++v)
      for (float& value : row) value += *view++;
  }
  return logits;
}

}  // namespace trainer
