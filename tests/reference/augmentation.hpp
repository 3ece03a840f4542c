// Data augmentation, written from the description of its settings: only what is drawn comes from kernels/math/.
#pragma once

#include "kernels/math/augmentation.hpp"
#include "tests/reference/reference.hpp"

namespace trainer::reference {

// The picture [h, w, c], in units of pixels, that an epoch shows of image `number`.
Values augmented(const Augmentation& augmentation, const Shape& image, const std::uint8_t* pixels,
                 std::uint64_t seed, std::uint64_t epoch, std::uint32_t number);

}  // namespace trainer::reference
