// A sheet of a data set's training images, as they are or as a recipe changes them.
#pragma once

#include <cstdint>

#include "data/dataset.hpp"
#include "data/image.hpp"
#include "kernels/math/augmentation.hpp"

namespace trainer {

// A row of ten for each label, `most_rows` at the most: its first images; or, if the augmentation changes any, the first one and what
// nine epochs make of it with this seed.
data::Image data_sheet(const data::Dataset& data, const Augmentation& augmentation, std::uint64_t seed,
                       std::size_t most_rows);

}  // namespace trainer
