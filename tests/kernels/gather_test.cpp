// Opening a step, on every backend: which images gather shows and how it normalises them, compared with epochs written
// out as lists (tests/reference/training.hpp).
#include <gtest/gtest.h>
#include <numeric>
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

struct GatherCase {
  std::string name;
  Batching batching;
  std::uint64_t seed;
  bool standardise = false;
};

void PrintTo(const GatherCase& c, std::ostream* out) {
  *out << c.name;
}

constexpr std::uint32_t kStored = 29;
constexpr Shape kPicture{5, 3, 2};
constexpr std::uint32_t kBlank = 9;  // an image of a single value

struct Piece {
  Shape shape;
  int top, left;
};
constexpr Piece kPieces[] = {{kPicture, 0, 0}, {{3, 2, 2}, 1, 1}, {{5, 1, 2}, 0, 2}};

class Gather : public OnBackend, public testing::WithParamInterface<std::tuple<BackendKind, GatherCase>> {
 protected:
  void SetUp() override { start(std::get<0>(GetParam())); }
  void expect_pieces(const Piece& piece);
};

// The indices in a stored image of a piece's values, in their order.
std::vector<std::size_t> places_of(const Piece& piece) {
  std::vector<std::size_t> places;
  for (int y = 0; y < piece.shape.h; ++y) {
    for (int x = 0; x < piece.shape.w; ++x) {
      for (int c = 0; c < piece.shape.c; ++c)
        places.push_back(
            static_cast<std::size_t>(((piece.top + y) * kPicture.w + piece.left + x) * kPicture.c + c));
    }
  }
  return places;
}

std::vector<std::uint8_t> stored_pixels(bool with_blank) {
  std::mt19937 bits(3);
  std::vector<std::uint8_t> pixels(kStored * kPicture.size());
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(bits());
  if (with_blank) std::fill_n(pixels.begin() + kBlank * kPicture.size(), kPicture.size(), std::uint8_t{77});
  return pixels;
}

// Beyond the valid rows, and of blank images if they are standardised; `size` is that of an image, or 0.
void expect_zeros(const std::vector<float>& got, std::size_t shown, const std::vector<std::uint32_t>& images,
                  std::size_t size) {
  for (std::size_t i = shown; i < got.size(); ++i) ASSERT_EQ(got[i], 0) << "beyond the valid rows";
  for (std::size_t i = 0; size > 0 && i < shown; ++i) {
    if (images[i / size] == kBlank) {
      ASSERT_EQ(got[i], 0) << "of a blank image";
    }
  }
}

void Gather::expect_pieces(const Piece& piece) {
  const auto& [name, batching, seed, standardise] = std::get<1>(GetParam());
  const std::vector<std::uint8_t> pixels = stored_pixels(standardise);
  std::vector<std::uint8_t> stored_labels(kStored);
  std::iota(stored_labels.begin(), stored_labels.end(), std::uint8_t{100});

  const DeviceArray images(backend(), pixels, "images");
  const DeviceArray labels_of_images(backend(), stored_labels, "stored labels");
  DeviceArray labels(backend(), batching.batch, "labels");
  DeviceArray state(backend(), sizeof(StepState), "state");
  GatherArgs args{.batching = batching,
                  .stored = kPicture,
                  .shape = piece.shape,
                  .top = piece.top,
                  .left = piece.left,
                  .scale = 1 / 77.0F,
                  .shift = -0.42F,
                  .images = images.as<std::uint8_t>(),
                  .stored_labels = labels_of_images.as<std::uint8_t>(),
                  .x = nullptr,
                  .labels = labels.as<std::uint8_t>(),
                  .state = state.as<StepState>(),
                  .standardise = standardise};
  const Precision asked = precision_of(std::get<0>(GetParam()));
  const Precision stored = backend().element() == Element::fp32 ? Precision::fp32 : asked;
  const std::vector<reference::StepImages> steps = reference::first_steps(batching, seed, 9);
  for (std::size_t s = 0; s < steps.size(); ++s) {
    SCOPED_TRACE(fmt::format("step {}", s));
    const DeviceMap x(backend(), batching.batch * piece.shape.size(), "x");
    args.x = x.address();
    labels.poison();
    state.upload(std::vector<StepState>{state_at(s, seed)});
    backend().gather(args);
    backend().wait();

    Values want_x;
    std::vector<std::uint8_t> want_labels;
    for (const std::uint32_t image : steps[s].images) {
      for (const std::size_t at : places_of(piece)) {
        want_x.push_back(pixels[image * kPicture.size() + at] * static_cast<double>(args.scale) +
                         static_cast<double>(args.shift));
      }
      want_labels.push_back(stored_labels[image]);
    }
    const std::size_t shown = want_x.size();
    if (standardise) reference::standardise(want_x, piece.shape.size());
    want_x.resize(batching.batch * piece.shape.size(), 0);
    want_labels.resize(batching.batch, 0);
    const std::vector<float> got = x.download();
    EXPECT_TRUE(near(got, want_x, Tolerance{.precision = stored, .counted = shown}));
    expect_zeros(got, shown, steps[s].images, standardise ? piece.shape.size() : 0);
    EXPECT_EQ(labels.download<std::uint8_t>(), want_labels);
    const StepState after = state.download<StepState>().front();
    EXPECT_EQ(after.valid, steps[s].images.size());
    EXPECT_EQ(after.batch_loss, 0);
    EXPECT_EQ(after.step, s);
    expect_sums_kept(after, seed);
    EXPECT_TRUE(x.array().guards_whole() && labels.guards_whole() && state.guards_whole());
  }
}

TEST_P(Gather, ShowsTheImagesOfEveryStepNormalisedAndZeroBeyond) {
  for (const Piece& piece : kPieces) {
    SCOPED_TRACE(fmt::format("a piece of {}x{}", piece.shape.h, piece.shape.w));
    expect_pieces(piece);
  }
}

std::vector<GatherCase> gather_cases() {
  std::vector<GatherCase> all;
  for (const auto& [order, order_name] : {std::pair{Order::fixed, "fixed"}, {Order::shuffled, "shuffled"}}) {
    for (const auto& [last, last_name] :
         {std::pair{LastBatch::mask, "mask"}, {LastBatch::drop, "drop"}, {LastBatch::wrap, "wrap"}}) {
      const Batching batching{21, 4, 8, order, last};
      all.push_back({fmt::format("{}_{}", order_name, last_name), batching, 99});
    }
  }
  all.push_back({"standardised", {21, 4, 8, Order::shuffled, LastBatch::mask}, 99, true});
  all.push_back({"standardised_and_wrapped", {21, 8, 50, Order::shuffled, LastBatch::wrap}, 2, true});
  all.push_back({"one_image", {29, 0, 1, Order::shuffled, LastBatch::mask}, 1});
  all.push_back({"batch_is_the_pass", {21, 8, 21, Order::shuffled, LastBatch::mask}, 1ULL << 40});
  all.push_back({"batch_beyond_the_pass_masked", {21, 8, 50, Order::fixed, LastBatch::mask}, 0});
  all.push_back({"batch_beyond_the_pass_wrapped", {21, 8, 50, Order::shuffled, LastBatch::wrap}, 2});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Step, Gather,
                         testing::Combine(testing::ValuesIn(all_backends()),
                                          testing::ValuesIn(gather_cases())),
                         [](const auto& info) {
                           return backend_name(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
                         });

}  // namespace
}  // namespace trainer
