#include "trainer/train/views.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace trainer {

namespace {

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
  margins.resize(std::min(count, std::max(kFewImages, (count + 9) / 10)));
  std::vector<std::size_t> chosen;
  chosen.reserve(margins.size());
  for (const auto& [margin, n] : margins) chosen.push_back(n);
  return chosen;
}

// Appends the image, moved down and right by so many pixels.
void append_shifted(const std::uint8_t* image, const Shape& shape, int down, int right,
                    std::vector<std::uint8_t>& images) {
  for (int y = 0; y < shape.h; ++y)
    for (int x = 0; x < shape.w; ++x)
      for (int c = 0; c < shape.c; ++c) {
        const int from_y = y - down, from_x = x - right;
        const bool inside = from_y >= 0 && from_y < shape.h && from_x >= 0 && from_x < shape.w;
        images.push_back(inside ? image[(from_y * shape.w + from_x) * shape.c + c] : 0);
      }
}

}  // namespace

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
  constexpr std::array<std::array<int, 2>, kViews - 1> kShifts{{{-1, 0}, {1, 0}, {0, -1}, {0, 1}}};
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
