// What the writer and the reader of safetensors files share. Private to those two files.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "trainer/safetensors.hpp"

namespace trainer::safetensors {

inline constexpr std::string_view kMetadataKey = "__metadata__";
inline constexpr std::size_t kLengthBytes = 8;  // the header's length, before the header
inline constexpr std::size_t kHashDigits = 64;

inline constexpr std::array<std::pair<std::string_view, DType>, 13> kDTypes{{{"BOOL", DType::kBool},
                                                                             {"U8", DType::kU8},
                                                                             {"I8", DType::kI8},
                                                                             {"U16", DType::kU16},
                                                                             {"I16", DType::kI16},
                                                                             {"F16", DType::kF16},
                                                                             {"BF16", DType::kBF16},
                                                                             {"U32", DType::kU32},
                                                                             {"I32", DType::kI32},
                                                                             {"F32", DType::kF32},
                                                                             {"U64", DType::kU64},
                                                                             {"I64", DType::kI64},
                                                                             {"F64", DType::kF64}}};

// Bytes of a tensor; none if the product does not fit 64 bits.
[[nodiscard]] std::optional<std::uint64_t> bytes_of_shape(DType dtype, std::span<const std::uint64_t> shape);

}  // namespace trainer::safetensors
