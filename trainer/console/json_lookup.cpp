// Numbers keep the digits that they have in the file. An object within an object is written as its name and, in parentheses, its
// members.
#include "trainer/console/json_lookup.hpp"

#include <cmath>
#include <fmt/format.h>

#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

constexpr int kDeepest = 8;  // levels shown

std::string text_of(const ordered_json& json, int depth);

// "cores 2"; bytes in readable units: "memory 23.54 GiB" for memory_bytes.
std::string member_text(const std::string& key, const ordered_json& value, int depth) {
  constexpr std::string_view kBytes = "_bytes";
  if (key.ends_with(kBytes) && value.is_number_unsigned())
    return fmt::format("{} {}", key.substr(0, key.size() - kBytes.size()),
                       size_text(value.get<std::uint64_t>()));
  const bool nested = value.is_object() && !value.empty();
  return fmt::format(fmt::runtime(nested ? "{} ({})" : "{} {}"), key, text_of(value, depth + 1));
}

std::string members_text(const ordered_json& json, int depth) {
  std::string text;
  for (const auto& [key, value] : json.items()) {
    if (!text.empty()) text += ", ";
    text += json.is_object() ? member_text(key, value, depth) : text_of(value, depth + 1);
  }
  return text.empty() ? "none" : text;
}

std::string text_of(const ordered_json& json, int depth) {
  if (json.is_null()) return "none";
  if (json.is_string()) return json.get<std::string>();
  if (json.is_boolean()) return json.get<bool>() ? "yes" : "no";
  if (json.is_number_float()) return fmt::format("{}", json.get<double>());
  if (!json.is_structured()) return json.dump();
  return depth < kDeepest ? members_text(json, depth) : "...";
}

}  // namespace

const ordered_json* find_value(const ordered_json& json, JsonPath path) {
  const ordered_json* value = &json;
  for (const char* key : path) {
    if (!value->is_object()) return nullptr;
    const auto found = value->find(key);
    if (found == value->end()) return nullptr;
    value = &*found;
  }
  return value;
}

std::optional<double> find_number(const ordered_json& json, JsonPath path) {
  const ordered_json* value = find_value(json, path);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const auto number = value->get<double>();
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

std::optional<std::uint64_t> find_count(const ordered_json& json, JsonPath path) {
  const ordered_json* value = find_value(json, path);
  const bool count = value != nullptr && value->is_number_unsigned();
  return count ? std::optional(value->get<std::uint64_t>()) : std::nullopt;
}

std::optional<std::string> find_text(const ordered_json& json, JsonPath path) {
  const ordered_json* value = find_value(json, path);
  return value != nullptr && value->is_string() ? std::optional(value->get<std::string>()) : std::nullopt;
}

std::string value_text(const ordered_json& json) {
  return text_of(json, 0);
}

}  // namespace trainer
