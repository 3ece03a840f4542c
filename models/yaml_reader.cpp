// Checked reading of words, numbers and maps.
#include "models/yaml_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <optional>

namespace trainer {

namespace {

std::string text_of(const YamlNode& node) {
  if (node.kind == YamlKind::word) return in_quotes(node.word);
  if (node.kind == YamlKind::nothing) return "empty";
  return node.kind == YamlKind::list ? "a list" : "a map";
}

[[noreturn]] void fail_type(const YamlNode& node, const std::string& what, const std::string& wanted) {
  fail(node.place, fmt::format("{} must be {}, not {}", what, wanted, text_of(node)));
}

// For "recipe: order" the message is "recipe: unknown order 'shufled'; ...".
[[noreturn]] void fail_word(const YamlNode& node, const std::string& what, const Words& choices) {
  const std::size_t colon = what.rfind(": ");
  const std::size_t start = colon == std::string::npos ? 0 : colon + 2;
  fail(node.place, what.substr(0, start) + unknown_word(what.substr(start), node.word, choices));
}

template <typename T>
std::optional<T> parsed(std::string_view word) {
  T value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::optional<double> parsed_number(std::string_view word) {
  const std::size_t slash = word.find('/');
  const auto above = parsed<double>(word.substr(0, slash));
  if (slash == std::string_view::npos || !above) return above;
  const auto below = parsed<double>(word.substr(slash + 1));
  return below ? std::optional(*above / *below) : std::nullopt;
}

std::string range_text(const NumberRange& range) {
  return fmt::format("{} {} and {} {}", range.open_low ? "above" : "at least", range.low,
                     range.open_high ? "below" : "at most", range.high);
}

bool contains(const NumberRange& range, double value) {
  const bool above = range.open_low ? value > range.low : value >= range.low;
  const bool below = range.open_high ? value < range.high : value <= range.high;
  return std::isfinite(value) && above && below;
}

}  // namespace

void fail(const Place& place, const std::string& message) {
  throw SpecError(fmt::format("{}: {}", place.text(), message));
}

std::int64_t read_whole(const YamlNode& node, const std::string& what, WholeRange range) {
  const auto value =
      node.kind == YamlKind::word ? parsed<std::int64_t>(node.word) : std::optional<std::int64_t>{};
  if (!value || *value < range.low || *value > range.high)
    fail_type(node, what, fmt::format("a whole number from {} to {}", range.low, range.high));
  return *value;
}

double read_number(const YamlNode& node, const std::string& what, NumberRange range) {
  const auto value = node.kind == YamlKind::word ? parsed_number(node.word) : std::optional<double>{};
  if (!value || !contains(range, *value))
    fail_type(node, what, fmt::format("a number {}", range_text(range)));
  return *value;
}

bool read_bool(const YamlNode& node, const std::string& what) {
  const bool yes = node.kind == YamlKind::word && node.word == "true";
  const bool no = node.kind == YamlKind::word && node.word == "false";
  if (!yes && !no) fail_type(node, what, "true or false");
  return yes;
}

std::string read_text(const YamlNode& node, const std::string& what) {
  if (node.kind != YamlKind::word) fail_type(node, what, "a line of text");
  if (std::any_of(node.word.begin(), node.word.end(), is_control))
    fail_type(node, what, "one line without control characters");
  return node.word;
}

std::size_t read_word(const YamlNode& node, const std::string& what, const Words& choices) {
  if (node.kind != YamlKind::word) fail_type(node, what, "one of " + joined(choices));
  const auto found = std::find(choices.begin(), choices.end(), node.word);
  if (found == choices.end()) fail_word(node, what, choices);
  return static_cast<std::size_t>(found - choices.begin());
}

YamlTagged read_tagged(const YamlNode& node, const std::string& what, const Words& choices) {
  if (node.kind == YamlKind::word) return {read_word(node, what, choices), node.word, node.place, nullptr};
  if (node.kind != YamlKind::map || node.keys.size() != 1) {
    const std::string found =
        node.kind == YamlKind::map ? fmt::format("a map of {} keys", node.keys.size()) : text_of(node);
    fail(node.place, fmt::format("{} must be one word of {}, alone or with its settings in braces, not {}",
                                 what, joined(choices), found));
  }
  const YamlKey& key = node.keys.front();
  const YamlNode& value = node.items.front();
  const YamlNode word{YamlKind::word, key.place, key.word, {}, {}};
  return {read_word(word, what, choices), key.word, key.place,
          value.kind == YamlKind::nothing ? nullptr : &value};
}

MapReader::MapReader(const YamlNode& node, std::string what, const Words& known)
    : node_(&node), what_(std::move(what)), place_(node.place) {
  check_keys(known);
}

MapReader::MapReader(const YamlTagged& tagged, const Words& known)
    : node_(tagged.arguments), what_(tagged.word), place_(tagged.place) {
  if (node_ != nullptr) check_keys(known);
}

void MapReader::check_keys(const Words& known) const {
  if (node_->kind != YamlKind::map)
    fail_type(*node_, what_, known.empty() ? "alone; it has no settings" : "a map of " + joined(known));
  for (std::size_t i = 0; i < node_->keys.size(); ++i) {
    const auto& [word, place] = node_->keys[i];
    if (known.empty()) fail(place, fmt::format("{} has no settings, not {}", what_, in_quotes(word)));
    if (std::find(known.begin(), known.end(), word) == known.end())
      fail(place, fmt::format("{}: {}", what_, unknown_word("key", word, known)));
    for (std::size_t j = 0; j < i; ++j) {
      if (node_->keys[j].word == word) {
        fail(place, fmt::format("{}: a second {}; the first is in line {}", what_, in_quotes(word),
                                node_->keys[j].place.line));
      }
    }
  }
}

const YamlNode* MapReader::find(std::string_view key) const {
  if (node_ == nullptr) return nullptr;
  for (std::size_t i = 0; i < node_->keys.size(); ++i) {
    if (node_->keys[i].word == key) return &node_->items[i];
  }
  return nullptr;
}

const YamlNode& MapReader::require(std::string_view key) const {
  const YamlNode* node = find(key);
  if (node == nullptr) fail(place_, fmt::format("{} needs '{}'", what_, key));
  return *node;
}

std::string MapReader::name_of(std::string_view key) const {
  return fmt::format("{}: {}", what_, key);
}

void MapReader::read(std::string_view key, int& value, WholeRange range) const {
  if (const YamlNode* node = find(key)) value = static_cast<int>(read_whole(*node, name_of(key), range));
}

void MapReader::read(std::string_view key, double& value, NumberRange range) const {
  if (const YamlNode* node = find(key)) value = read_number(*node, name_of(key), range);
}

void MapReader::read(std::string_view key, float& value, NumberRange range) const {
  if (const YamlNode* node = find(key)) value = static_cast<float>(read_number(*node, name_of(key), range));
}

void MapReader::read(std::string_view key, bool& value) const {
  if (const YamlNode* node = find(key)) value = read_bool(*node, name_of(key));
}

void MapReader::read(std::string_view key, std::string& value) const {
  if (const YamlNode* node = find(key)) value = read_text(*node, name_of(key));
}

}  // namespace trainer
