// Damage that stb_image does not report: it ignores the checksums of a PNG file, and reads zeros where a BMP
// or JPEG file ends too early. A data set must not gain half-black pictures that way.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace trainer::data {

// What is wrong with the picture file in `bytes`, in words with the numbers; empty if nothing was found.
// Anything but a PNG, JPEG or BMP file is wrong, so that nothing unchecked reaches the decoder.
std::string find_image_damage(std::span<const std::uint8_t> bytes);

}  // namespace trainer::data
