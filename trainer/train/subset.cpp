// The part of the training images that --limit-train and --validation choose: every label in proportion, by the seed.
#include <algorithm>
#include <array>
#include <span>

#include "kernels/math/order.hpp"
#include "trainer/train/setup.hpp"

namespace trainer {

namespace {

// All positions in `labels` in a stratified order: every prefix has each label's fraction of the whole, to about one image. The
// k-th of the n images with one label, in random order, is at (k + 1/2) / n of the whole.
std::vector<std::uint32_t> spread_over_labels(std::span<const std::uint8_t> labels, std::uint64_t seed) {
  constexpr std::uint64_t kNoEpoch = UINT32_MAX;  // an order that no epoch has
  const auto count = static_cast<std::uint32_t>(labels.size());
  std::array<std::uint32_t, data::kMostClasses> images{}, seen{};
  for (const std::uint8_t label : labels) ++images[label];
  std::vector<double> place(count);
  std::vector<std::uint32_t> positions(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t at = positions[i] = permuted(i, count, seed, kNoEpoch);
    place[at] = (seen[labels[at]]++ + 0.5) / images[labels[at]];
  }
  std::ranges::stable_sort(positions, {}, [&](std::uint32_t at) { return place[at]; });
  return positions;
}

}  // namespace

void choose_images(Setup& setup) {
  const data::Split& split = setup.dataset.train;
  const std::size_t first = setup.train.first, end = split.count() - setup.dataset.validation_images;
  const std::size_t held_out = setup.settings.validation.value_or(0), images = setup.train.images;
  if (held_out == 0 && first + images == end) return;
  std::vector<std::uint32_t> order =
      spread_over_labels(std::span(split.labels).subspan(first, end - first), setup.settings.seed);
  const auto training = order.begin() + static_cast<std::ptrdiff_t>(held_out);
  const auto left_over = training + static_cast<std::ptrdiff_t>(images);
  std::sort(order.begin(), training);
  std::sort(training, left_over);
  std::rotate(order.begin(), training, left_over);
  data::Split chosen;
  const std::size_t size = setup.dataset.shape.size();
  const auto add = [&](std::size_t from, std::size_t count) {
    const auto pixels = std::span(split.images).subspan(from * size, count * size);
    const auto labels = std::span(split.labels).subspan(from, count);
    chosen.images.insert(chosen.images.end(), pixels.begin(), pixels.end());
    chosen.labels.insert(chosen.labels.end(), labels.begin(), labels.end());
  };
  add(0, first);
  for (std::size_t i = 0; i < images + held_out; ++i) add(first + order[i], 1);
  add(end, split.count() - end);  // the set's own val/
  setup.dataset.train = std::move(chosen);
  if (setup.validation.first > 0) setup.validation.first = setup.train.images;
}

}  // namespace trainer
