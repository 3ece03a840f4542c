// Gathering the images of a batch as floats: as they are, with data augmentation (kernels/math/augmentation.hpp), or standardised
// image by image (kernels/math/standardisation.hpp).
#include <algorithm>

#include "kernels/backend.hpp"
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/math/standardisation.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// The next image can be anywhere in the data set: it is prefetched while the current one is read.
HOST_DEVICE void fetch_ahead(const std::uint8_t* image, std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(image + at);
}

// Calls show(image, pixels, x) for each row that shows an image, and fills the others with zeros.
template <typename Show>
HOST_DEVICE void for_images(const GatherArgs& args, std::size_t begin, std::size_t end, const Show& show) {
  const StepState state = *args.state;
  const std::size_t length = args.shape.size(), bytes = args.stored.size();
  const std::size_t valid = std::clamp<std::size_t>(state.valid, begin, end);
  const auto image_at = [&](std::size_t row) {
    return image_of(args.batching, state.seed, state.step, static_cast<std::uint32_t>(row));
  };
  float* x = static_cast<float*>(args.x);
  ShownImage next = begin < valid ? image_at(begin) : ShownImage{};
  for (std::size_t row = begin; row < valid; ++row) {
    const ShownImage image = next;
    if (row + 1 < valid) {
      next = image_at(row + 1);
      fetch_ahead(args.images + bytes * next.index, bytes);
    }
    show(image, args.images + bytes * image.index, x + row * length);
    args.labels[row] = args.stored_labels[image.index];
  }
  std::fill(x + valid * length, x + end * length, 0.0F);
  std::fill(args.labels + valid, args.labels + end, 0);
}

// `count` pixels as floats, by whole vectors where they fill one: the last covers a part of the one before it.
HOST_DEVICE void convert_pixels(const GatherArgs& args, const std::uint8_t* __restrict pixels, int count,
                                float* __restrict x) {
  constexpr int kLanes = TRAINER_LOOPS_LANES;
  using Wide = VectorOf<kLanes>;
  const float scale = args.scale, shift = args.shift;
  if (count < kLanes) {
    for (int i = 0; i < count; ++i) x[i] = static_cast<float>(pixels[i]) * scale + shift;
    return;
  }
  for (int i = 0; i < count; i += kLanes) {
    const int at = std::min(i, count - kLanes);
    const auto values = convert<Wide::Int>(load<Wide::Byte>(pixels + at));
    store(x + at, convert<Wide::Float>(values) * scale + shift);
  }
}

// A picture that only shifts its image: background, and over it the rows that lie inside, copied.
HOST_DEVICE void show_shifted(const GatherArgs& args, const Transformation& t, const std::uint8_t* pixels,
                              float* x) {
  const Shape& image = args.stored;
  const int down = static_cast<int>(t.down) + args.top, right = static_cast<int>(t.right) + args.left;
  const int c = image.c, width = args.shape.w * c;
  for (int i = 0; i < width; ++i)
    x[i] = i < c ? static_cast<float>(pixels[i]) * args.scale + args.shift : x[i - c];
  for (int y = 1; y < args.shape.h; ++y) std::copy_n(x, width, x + y * width);
  const int begin = std::clamp(-right, 0, args.shape.w) * c;
  const int end = std::clamp(image.w - right, begin / c, args.shape.w) * c;
  const int bottom = std::min(args.shape.h, image.h - down);
  for (int y = std::max(0, -down); y < bottom; ++y) {
    const int first = ((y + down) * image.w + right) * c + begin;
    convert_pixels(args, pixels + first, end - begin, x + y * width + begin);
  }
}

HOST_DEVICE void show(const GatherArgs& args, const Transformation& t, const std::uint8_t* pixels, float* x) {
  for (int y = 0; y < args.shape.h; ++y)
    for (int column = 0; column < args.shape.w; ++column)
      for (int c = 0; c < args.shape.c; ++c)
        *x++ =
            pixel_of(t, pixels, args.stored, args.top + y, args.left + column, c) * args.scale + args.shift;
}

}  // namespace

void gather(const GatherArgs& args, std::size_t begin, std::size_t end) {
  const std::uint64_t seed = args.state->seed;
  const int length = static_cast<int>(args.shape.size());
  const bool as_stored = !args.needs_whole_images() && args.shape == args.stored;
  for_images(args, begin, end, [&](const ShownImage& image, const std::uint8_t* pixels, float* x) {
    if (as_stored) return convert_pixels(args, pixels, length, x);
    const Transformation t =
        transformation_of(args.augmentation, args.stored, seed, image.epoch, image.index);
    t.interpolates || t.erase_bottom > 0 ? show(args, t, pixels, x) : show_shifted(args, t, pixels, x);
    if (args.standardise) standardise(x, length);
  });
}

}  // namespace trainer::cpu::TRAINER_LOOPS
