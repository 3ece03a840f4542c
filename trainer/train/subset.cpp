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
  enum class Role { left_over, held_out_by_recipe, training, validation };
  data::Split& split = setup.dataset.train;
  const std::size_t first = setup.train.first, end = split.count() - setup.dataset.validation_images;
  const std::size_t held_out = setup.settings.validation.value_or(0), images = setup.train.images;
  if (held_out == 0 && first + images == end) return;
  std::vector<Role> roles(split.count(), Role::validation);  // the set's own val/, at the end, stays that
  std::fill_n(roles.begin(), first, Role::held_out_by_recipe);
  const std::vector<std::uint32_t> order =
      spread_over_labels(std::span(split.labels).subspan(first, end - first), setup.settings.seed);
  for (std::size_t i = 0; i < order.size(); ++i)
    roles[first + order[i]] = i < held_out            ? Role::validation
                              : i < held_out + images ? Role::training
                                                      : Role::left_over;
  data::Split chosen;
  const auto size = static_cast<std::ptrdiff_t>(setup.dataset.shape.size());
  for (const Role role : {Role::held_out_by_recipe, Role::training, Role::validation}) {
    for (std::size_t i = 0; i < roles.size(); ++i) {
      if (roles[i] != role) continue;
      const auto image = split.images.begin() + static_cast<std::ptrdiff_t>(i) * size;
      chosen.images.insert(chosen.images.end(), image, image + size);
      chosen.labels.push_back(split.labels[i]);
    }
  }
  split = std::move(chosen);
  if (setup.validation.first > 0) setup.validation.first = setup.train.images;
}

}  // namespace trainer
