// Opening a step with data augmentation (kernels/math/augmentation.hpp), or image by image (kernels/math/standardisation.hpp).
#pragma once

#include "kernels/math/standardisation.hpp"
#include "kernels/portable/step.hpp"

namespace trainer::portable {

// It opens a step as Gather does. Unit: an image.
struct GatherAugmented {
  GatherArgs args;

  HOST_DEVICE Units units() const {
    return {static_cast<int>(args.batching.batch), 1, 1, args.shape.h * args.shape.w * args.shape.c};
  }
  HOST_DEVICE void unit(int n) const {
    const Shape& shape = args.shape;
    const StepState& state = *args.state;
    const auto row = static_cast<std::uint32_t>(n);
    const bool valid = row < valid_rows(args.batching, state.step);
    const ShownImage image = valid ? image_of(args.batching, state.seed, state.step, row) : ShownImage{};
    const Transformation t =
        transformation_of(args.augmentation, args.stored, state.seed, image.epoch, image.index);
    const std::uint8_t* pixels = args.images + image_at(static_cast<int>(image.index), args.stored);
    args.labels[n] = valid ? args.stored_labels[image.index] : 0;
    float* first = static_cast<float*>(args.x) + image_at(n, shape);
    float* to = first;
    for (int y = 0; y < shape.h; ++y) {
      for (int x = 0; x < shape.w; ++x) {
        for (int c = 0; c < shape.c; ++c, ++to) {
          const float value =
              pixel_of(t, pixels, args.stored, args.top + y, args.left + x, c) * args.scale + args.shift;
          *to = valid ? value : 0.0F;
        }
      }
    }
    if (valid && args.standardise) standardise(first, shape.h * shape.w * shape.c);
    if (n == 0) open_step(args.batching, *args.state);
  }
};

}  // namespace trainer::portable
