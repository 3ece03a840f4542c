// Readings that a machine may not give: "n/a" in a text, null in JSON. Sizes of memory.
#pragma once

#include <cstdint>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace trainer {

inline constexpr const char* kUnknown = "n/a";

// By fmt's format string.
template <typename Value>
std::string text_of(const std::optional<Value>& value, const char* format = "{}") {
  return value ? fmt::format(fmt::runtime(format), *value) : kUnknown;
}

template <typename Value>
nlohmann::ordered_json json_of(const std::optional<Value>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

inline double gib(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 30);
}

}  // namespace trainer
