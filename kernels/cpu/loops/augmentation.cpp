// Gathering with data augmentation (kernels/math/augmentation.hpp), or image by image (kernels/math/standardisation.hpp).
#include <algorithm>

#include "kernels/backend.hpp"
#include "kernels/cpu/loops/loops.hpp"
#include "kernels/math/standardisation.hpp"

namespace trainer::cpu::TRAINER_LOOPS {

namespace {

// The lines of a picture that only shifts its image: what lies inside is copied.
HOST_DEVICE void show_shifted(const GatherArgs& args, const Transformation& t, const std::uint8_t* pixels,
                              float* x) {
  const Shape& image = args.stored;
  const int down = static_cast<int>(t.down), right = static_cast<int>(t.right) + args.left;
  const int c = image.c;
  const int begin = std::clamp(-right, 0, args.shape.w);
  const int end = std::clamp(image.w - right, begin, args.shape.w);
  for (int y = 0; y < args.shape.h; ++y, x += args.shape.w * c) {
    const int row = args.top + y + down;
    const bool inside = row >= 0 && row < image.h;
    const std::uint8_t* line = pixels + (inside ? row : 0) * image.w * c;
    for (int i = 0; i < args.shape.w * c; ++i)
      x[i] = static_cast<float>(pixels[i % c]) * args.scale + args.shift;
    for (int i = begin * c; inside && i < end * c; ++i)
      x[i] = static_cast<float>(line[right * c + i]) * args.scale + args.shift;
  }
}

HOST_DEVICE void show(const GatherArgs& args, const Transformation& t, const std::uint8_t* pixels, float* x) {
  for (int y = 0; y < args.shape.h; ++y) {
    for (int column = 0; column < args.shape.w; ++column) {
      for (int c = 0; c < args.shape.c; ++c)
        *x++ =
            pixel_of(t, pixels, args.stored, args.top + y, args.left + column, c) * args.scale + args.shift;
    }
  }
}

}  // namespace

void gather_augmented(const GatherArgs& args, std::size_t begin, std::size_t end) {
  const StepState state = *args.state;
  for (std::size_t row = begin; row < end; ++row) {
    float* x = static_cast<float*>(args.x) + row * args.shape.size();
    if (row >= state.valid) {
      std::fill_n(x, args.shape.size(), 0.0F);
      args.labels[row] = 0;
      continue;
    }
    const auto [image, epoch] =
        image_of(args.batching, state.seed, state.step, static_cast<std::uint32_t>(row));
    const std::uint8_t* pixels = args.images + image * args.stored.size();
    const Transformation t = transformation_of(args.augmentation, args.stored, state.seed, epoch, image);
    t.interpolates || t.erase_bottom > 0 ? show(args, t, pixels, x) : show_shifted(args, t, pixels, x);
    if (args.standardise) standardise(x, static_cast<int>(args.shape.size()));
    args.labels[row] = args.stored_labels[image];
  }
}

}  // namespace trainer::cpu::TRAINER_LOOPS
