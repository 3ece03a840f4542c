// What the writer and the reader of safetensors files share. Private to those two files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace trainer::safetensors {

inline constexpr std::string_view kMetadataKey = "__metadata__";
inline constexpr std::size_t kLengthBytes = 8;  // the header's length, before the header
inline constexpr std::size_t kHashDigits = 64;

// Bytes of a tensor; none if the product does not fit 64 bits.
[[nodiscard]] std::optional<std::uint64_t> bytes_of_shape(std::span<const std::uint64_t> shape);

}  // namespace trainer::safetensors
