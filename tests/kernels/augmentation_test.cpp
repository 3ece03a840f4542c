// Data augmentation on every backend, compared with tests/reference/augmentation.hpp, and what is drawn.
#include "tests/reference/augmentation.hpp"

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <tuple>

#include "tests/kernels/device_map.hpp"
#include "tests/kernels/tolerance.hpp"
#include "tests/reference/training.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/sample_state.hpp"

namespace trainer {
namespace {

using reference::Values;

struct AugmentationCase {
  std::string name;
  Augmentation augmentation;
  Shape image = {14, 14, 1};
  int top = 0, left = 0;  // of the piece that is shown, as far from the other side
  bool standardise = false;
};

void PrintTo(const AugmentationCase& c, std::ostream* out) {
  *out << c.name;
}

constexpr std::uint32_t kAugmentedImages = 23;
constexpr Batching kAugmentedBatching{kAugmentedImages, 0, 9, Order::shuffled, LastBatch::mask};

std::vector<std::uint8_t> stored_pixels(const Shape& image) {
  std::mt19937 bits(5);
  std::vector<std::uint8_t> pixels(kAugmentedImages * image.size());
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(bits());
  return pixels;
}

class Augmented : public OnBackend,
                  public testing::WithParamInterface<std::tuple<BackendKind, AugmentationCase>> {
 protected:
  void SetUp() override { start(std::get<0>(GetParam())); }
};

TEST_P(Augmented, ShowsThePicturesOfTheReference) {
  const AugmentationCase& c = std::get<1>(GetParam());
  const Shape& image = c.image;
  const Shape shown{image.h - 2 * c.top, image.w - 2 * c.left, image.c};
  const std::vector<std::uint8_t> pixels = stored_pixels(image);
  const DeviceArray images(backend(), pixels, "images");
  const DeviceArray stored_labels(backend(), std::vector<std::uint8_t>(kAugmentedImages, 3), "stored labels");
  const DeviceArray labels(backend(), kAugmentedBatching.batch, "labels");
  DeviceArray state(backend(), sizeof(StepState), "state");
  GatherArgs args{.batching = kAugmentedBatching,
                  .stored = image,
                  .shape = shown,
                  .top = c.top,
                  .left = c.left,
                  .scale = 1 / 77.0F,
                  .shift = -0.42F,
                  .images = images.as<std::uint8_t>(),
                  .stored_labels = stored_labels.as<std::uint8_t>(),
                  .x = nullptr,
                  .labels = labels.as<std::uint8_t>(),
                  .state = state.as<StepState>(),
                  .augmentation = c.augmentation,
                  .standardise = c.standardise};
  const Precision asked = precision_of(std::get<0>(GetParam()));
  const Precision stored = backend().element() == Element::fp32 ? Precision::fp32 : asked;
  constexpr std::uint64_t kSeed = 1ULL << 35U | 7U;
  const std::vector<reference::StepImages> steps = reference::first_steps(kAugmentedBatching, kSeed, 7);
  for (std::size_t s = 0; s < steps.size(); ++s) {  // the third and sixth have rows beyond the images
    SCOPED_TRACE(fmt::format("step {}", s));
    const DeviceMap x(backend(), kAugmentedBatching.batch * shown.size(), "x");
    args.x = x.address();
    state.upload(std::vector<StepState>{state_at(s, kSeed)});
    backend().gather(args);
    backend().wait();
    Values want;
    for (const std::uint32_t number : steps[s].images) {
      const Values picture = reference::augmented(
          c.augmentation, image, pixels.data() + number * image.size(), kSeed, s / 3, number);
      for (int row = 0; row < shown.h; ++row) {
        for (int i = 0; i < shown.w * image.c; ++i) {
          const int at = ((c.top + row) * image.w + c.left) * image.c + i;
          want.push_back(picture[static_cast<std::size_t>(at)] * static_cast<double>(args.scale) +
                         static_cast<double>(args.shift));
        }
      }
    }
    const std::size_t counted = want.size();
    if (c.standardise) reference::standardise(want, shown.size());
    want.resize(kAugmentedBatching.batch * shown.size(), 0);
    // A place is a sum of few terms of at most the image's side, and the values beside it differ by up to 255.
    EXPECT_TRUE(near(x.download(), want, Tolerance{.precision = stored, .length = 400, .counted = counted}));
    EXPECT_TRUE(x.array().guards_whole());
  }
}

std::vector<AugmentationCase> augmentation_cases() {
  const Augmentation all{.shift = 2,
                         .crop = 12,
                         .share = 0.5F,
                         .rotate = 25,
                         .zoom = 0.2F,
                         .shear = 10,
                         .elastic = 1.5F,
                         .grid = 5,
                         .erase = 0.26F};
  return {{"shift", {.shift = 3}},
          {"shift_of_a_piece_in_colour", {.shift = 2}, {9, 13, 3}, 1, 2},
          {"rotate", {.rotate = 40}},
          {"zoom", {.zoom = 0.4F}},
          {"shear", {.shear = 30}},
          {"elastic", {.elastic = 2, .grid = 4}},
          {"elastic_on_two_nodes", {.elastic = 2, .grid = 2}, {9, 13, 1}},
          {"crop", {.crop = 11}},
          {"crop_in_the_middle", at_test({.shift = 1, .crop = 11, .rotate = 9})},
          {"erase", {.erase = 0.31F}},
          {"erase_after_a_shift", {.shift = 1, .erase = 0.11F}, {9, 13, 2}},
          {"all", all},
          {"all_of_a_piece_in_colour", all, {15, 19, 3}, 1, 1},
          {"shift_standardised", {.shift = 2}, {9, 13, 3}, 1, 2, true},
          {"all_standardised", all, {15, 19, 3}, 1, 1, true}};
}

INSTANTIATE_TEST_SUITE_P(Step, Augmented,
                         testing::Combine(testing::ValuesIn(all_backends()),
                                          testing::ValuesIn(augmentation_cases())),
                         [](const auto& info) {
                           return backend_name(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
                         });

// Whole shifts move pixels and change none.
TEST(Augmentation, AShiftCopiesPixelsAndShowsTheCornerBeyond) {
  const Shape image{4, 5, 1};
  std::vector<std::uint8_t> pixels(image.size());
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(10 + i);
  std::map<std::pair<int, int>, int> shifts;
  for (std::uint32_t number = 0; number < 900; ++number) {
    const Transformation t = transformation_of({.shift = 1}, image, 3, 0, number);
    ASSERT_FALSE(t.interpolates);
    const int down = static_cast<int>(t.down), right = static_cast<int>(t.right);
    ++shifts[{down, right}];
    for (int y = 0; y < image.h; ++y) {
      for (int x = 0; x < image.w; ++x) {
        const bool inside = y + down >= 0 && y + down < image.h && x + right >= 0 && x + right < image.w;
        const int want = inside ? 10 + (y + down) * image.w + x + right : 10;
        ASSERT_EQ(pixel_of(t, pixels.data(), image, y, x, 0), static_cast<float>(want));
      }
    }
  }
  ASSERT_EQ(shifts.size(), 9U);
  for (const auto& [shift, count] : shifts)
    EXPECT_NEAR(count, 100, 40) << shift.first << ", " << shift.second;
}

TEST(Augmentation, DependsOnSeedEpochAndImageAlone) {
  const Augmentation a{.rotate = 10};
  const auto matrix = [&](std::uint64_t seed, std::uint64_t epoch, std::uint32_t image) {
    return transformation_of(a, {28, 28, 1}, seed, epoch, image).yx;
  };
  EXPECT_EQ(matrix(1, 2, 3), matrix(1, 2, 3));
  EXPECT_NE(matrix(1, 2, 3), matrix(2, 2, 3));
  EXPECT_NE(matrix(1, 2, 3), matrix(1ULL << 32U | 1U, 2, 3));
  EXPECT_NE(matrix(1, 2, 3), matrix(1, 3, 3));
  EXPECT_NE(matrix(1, 2, 3), matrix(1, 2, 4));
}

TEST(Augmentation, DistortsTheGivenShareOfTheImagesAndShiftsAll) {
  const Augmentation a{.shift = 1, .share = 0.3F, .rotate = 10};
  int distorted = 0, shifted = 0;
  for (std::uint32_t image = 0; image < 10000; ++image) {
    const Transformation t = transformation_of(a, {28, 28, 1}, 9, 1, image);
    distorted += t.interpolates ? 1 : 0;
    shifted += t.down != 0 || t.right != 0 ? 1 : 0;
  }
  EXPECT_NEAR(distorted, 3000, 140);  // three standard deviations
  EXPECT_NEAR(shifted, 10000 * 8 / 9, 95);
}

TEST(Augmentation, LeavesTheImageAloneWhenNothingIsAsked) {
  EXPECT_FALSE(Augmentation{}.any());
  EXPECT_FALSE(at_test({.shift = 2, .rotate = 5}).any());
  EXPECT_TRUE(at_test({.crop = 25}).any());
}

}  // namespace
}  // namespace trainer
