#include "trainer/system/text.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

bool starts_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
}

}  // namespace

std::string to_text(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

nlohmann::ordered_json parsed_json(std::string_view text, const std::string& file) {
  using Json = nlohmann::ordered_json;
  constexpr int kDeepest = 64, kMostMembers = 1000;
  std::vector<int> members;  // how many each open object has
  const auto limited = [&](int depth, Json::parse_event_t event, const Json& /*value*/) {
    if (depth > kDeepest)
      throw FileError(
          fmt::format("cannot read {}: its values lie deeper than {} in each other", file, kDeepest));
    if (event == Json::parse_event_t::object_start) members.push_back(0);
    if (event == Json::parse_event_t::object_end) members.pop_back();
    if (event == Json::parse_event_t::key && ++members.back() > kMostMembers)
      throw FileError(fmt::format("cannot read {}: an object has more than {} members", file, kMostMembers));
    return true;
  };
  return Json::parse(text, limited, false);
}

std::string size_text(std::uint64_t bytes) {
  const auto size = static_cast<double>(bytes);
  if (bytes >= std::uint64_t{1} << 30) return fmt::format("{:.2f} GiB", size / (1 << 30));
  if (bytes >= std::uint64_t{1} << 20) return fmt::format("{:.2f} MiB", size / (1 << 20));
  return bytes >= 1024 ? fmt::format("{:.1f} KiB", size / 1024) : fmt::format("{} bytes", bytes);
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "unknown";
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1000);
  if (seconds < 60) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 1e9) return fmt::format("{:g} s", seconds);
  const auto whole = static_cast<long long>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string report_line(std::string_view key, std::string_view value, int width) {
  return fmt::format("{:<{}}{}\n", key, width, value);
}

std::string letter_of(std::size_t index) {
  return index < 26 ? std::string(1, static_cast<char>('A' + index)) : fmt::format("#{}", index + 1);
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, starts_character));
}

std::string_view first_columns(std::string_view text, std::size_t columns) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (starts_character(text[i]) && seen++ == columns) return text.substr(0, i);
  return text;
}

}  // namespace trainer
