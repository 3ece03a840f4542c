// How values are shown: readings that a machine may not give ("n/a" in a text, null in JSON), sizes of memory, lines with a
// label, and widths in characters of UTF-8.
#pragma once

#include <cstdint>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace trainer {

inline constexpr const char* kUnknown = "n/a";

// Formatted with `format`, a format string of fmt.
template <typename Value>
std::string text_of(const std::optional<Value>& value, const char* format = "{}") {
  return value ? fmt::format(fmt::runtime(format), *value) : kUnknown;
}

template <typename Value>
nlohmann::ordered_json json_of(const std::optional<Value>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

// JSON as text, indented by `indent` spaces, or on one line if that is -1. Bytes that are not UTF-8 are replaced.
[[nodiscard]] std::string to_text(const nlohmann::ordered_json& json, int indent = -1);

// The value of `text`, discarded if it is not JSON. Throws FileError with `file`, as JsonReader does, for what would take too much of the stack to
// copy, or too much time: values deeper than 64 in each other, an object of more than 1000 members, each of which is compared with all others.
[[nodiscard]] nlohmann::ordered_json parsed_json(std::string_view text, const std::string& file);

inline double gib(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 30);
}

[[nodiscard]] std::string size_text(std::uint64_t bytes);  // "2.47 MiB"
[[nodiscard]] std::string duration_text(double seconds);   // "12.3 ms", "1.23 s", "3 min 20 s"

// The key in a column of `width` characters, the value, and a newline.
[[nodiscard]] std::string report_line(std::string_view key, std::string_view value, int width = 14);

// The name of one of several runs or records that stand side by side: "A" for 0, to "Z", then "#27".
[[nodiscard]] std::string letter_of(std::size_t index);

// The number of characters in a UTF-8 text, each taken to be one column wide; and its first `columns` ones.
[[nodiscard]] std::size_t columns_of(std::string_view text);
[[nodiscard]] std::string_view first_columns(std::string_view text, std::size_t columns);

}  // namespace trainer
