// YAML with the place of every word, and readers that check unknown and repeated keys, types and ranges. A file
// may be hostile: its size and depth are limited, and what a spec never needs (anchors, aliases, tags, a second
// document, control characters) is refused. Errors are SpecErrors, whose message begins with file:line:column.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/spec.hpp"
#include "models/words.hpp"

namespace trainer {

constexpr std::size_t kMostSpecBytes = std::size_t{64} << 10;

enum class YamlKind : std::uint8_t { nothing, word, list, map };

struct YamlKey {
  std::string word;
  Place place;
};

struct YamlNode {
  YamlKind kind = YamlKind::nothing;
  Place place;
  std::string word;             // numbers are words too
  std::vector<YamlKey> keys;    // a map's keys
  std::vector<YamlNode> items;  // a list's items, or a map's values, one per key
};

[[noreturn]] void fail(const Place& place, const std::string& message);

// Parses the one document of `text`.
YamlNode parse_yaml(const std::string& text, const std::string& file);

struct WholeRange {
  std::int64_t low = 0;
  std::int64_t high = 0;
};

// A range of finite numbers; both ends are included unless open.
struct NumberRange {
  double low = 0;
  double high = 0;
  bool open_low = false;
  bool open_high = false;
};

// `what` names the value in errors: "conv: out".
std::int64_t read_whole(const YamlNode& node, const std::string& what, WholeRange range);
double read_number(const YamlNode& node, const std::string& what, NumberRange range);  // also "1/256"
bool read_bool(const YamlNode& node, const std::string& what);
std::string read_text(const YamlNode& node, const std::string& what);                        // one line
std::size_t read_word(const YamlNode& node, const std::string& what, const Words& choices);  // its index

// A word alone (`relu`) or with its settings (`conv: {out: 24}`).
struct YamlTagged {
  std::size_t index = 0;  // the word's index in the choices
  std::string word;
  Place place;
  const YamlNode* arguments = nullptr;  // null for a word alone
};
YamlTagged read_tagged(const YamlNode& node, const std::string& what, const Words& choices);

// The keys of a map. The constructor refuses unknown and repeated keys; `read` leaves `value` unchanged if the
// key is absent.
class MapReader {
 public:
  MapReader(const YamlNode& node, std::string what, const Words& known);
  MapReader(const YamlTagged& tagged, const Words& known);  // a word alone is an empty map

  const YamlNode* find(std::string_view key) const;
  const YamlNode& require(std::string_view key) const;
  const Place& place() const { return place_; }
  std::string name_of(std::string_view key) const;  // "conv: out"

  void read(std::string_view key, int& value, WholeRange range) const;
  void read(std::string_view key, double& value, NumberRange range) const;
  void read(std::string_view key, float& value, NumberRange range) const;
  void read(std::string_view key, bool& value) const;
  void read(std::string_view key, std::string& value) const;

 private:
  void check_keys(const Words& known) const;

  const YamlNode* node_;  // null: an empty map
  std::string what_;
  Place place_;
};

}  // namespace trainer
