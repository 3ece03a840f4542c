// Reads JSON that another program or another version of this one may have written: what is missing or has another type counts as
// absent and is not an error.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace trainer {

using JsonPath = std::initializer_list<const char*>;  // keys, from the outside in

// Null if there is nothing. A number that is not finite counts as absent.
[[nodiscard]] const nlohmann::ordered_json* find_value(const nlohmann::ordered_json& json, JsonPath path);
[[nodiscard]] std::optional<double> find_number(const nlohmann::ordered_json& json, JsonPath path);
[[nodiscard]] std::optional<std::uint64_t> find_count(const nlohmann::ordered_json& json, JsonPath path);
[[nodiscard]] std::optional<std::string> find_text(const nlohmann::ordered_json& json, JsonPath path);

// A value for a reader: "0.01", "adam (beta1 0.7, beta2 0.9)", "bf16, tf32", "none" for null. A member whose
// name ends in _bytes is shown as a size.
[[nodiscard]] std::string value_text(const nlohmann::ordered_json& json);

}  // namespace trainer
