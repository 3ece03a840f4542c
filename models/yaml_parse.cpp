// Parses YAML from yaml-cpp's events, not its nodes: a node no longer shows anchors and aliases, and its depth cannot be
// limited while it is parsed.
#include <algorithm>
#include <fmt/format.h>
#include <sstream>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "models/yaml_reader.hpp"

namespace trainer {

namespace {

constexpr std::size_t kMostDepth = 12;

Place place_of(const YAML::Mark& mark, const std::string& file) {
  return {file, std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1};
}

// The length in bytes of the UTF-8 character that starts at `text[i]`; 0 if none starts there.
std::size_t utf8_length(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char first = byte(i);
  const std::size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if ((first >= 0x80 && first < 0xC2) || first > 0xF4 || i + length > text.size()) return 0;
  for (std::size_t k = i + 1; k < i + length; ++k) {
    if ((byte(k) & 0xC0U) != 0x80U) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(i + 1) < 0xA0) || (first == 0xF0 && byte(i + 1) < 0x90);
  const bool outside = (first == 0xED && byte(i + 1) > 0x9F) || (first == 0xF4 && byte(i + 1) > 0x8F);
  return overlong || outside ? 0 : length;
}

bool is_utf8(const std::string& text) {
  std::size_t i = 0;
  while (i < text.size() && utf8_length(text, i) != 0) i += utf8_length(text, i);
  return i == text.size();
}

// Builds a tree of YamlNode from events. In a map, keys and values alternate.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& file) : file_(file) {}

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add({YamlKind::nothing, place_of(mark, file_), "", {}, {}}, anchor, "");
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    fail(place_of(mark, file_), "aliases (*name) are not used here; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    // yaml-cpp makes one byte each of these two, which is not UTF-8.
    if (!is_utf8(value))
      fail(place_of(mark, file_), "the escapes \\N and \\_ are not used here; write the character itself");
    add({YamlKind::word, place_of(mark, file_), value, {}, {}}, anchor, tag);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(add({YamlKind::list, place_of(mark, file_), "", {}, {}}, anchor, tag));
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(add({YamlKind::map, place_of(mark, file_), "", {}, {}}, anchor, tag));
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  // A parent's items never grow while one of them is open, so the pointer to an open node stays valid.
  YamlNode& add(YamlNode node, YAML::anchor_t anchor, const std::string& tag) {
    if (anchor != YAML::NullAnchor) fail(node.place, "anchors (&name) are not used here");
    if (!tag.empty() && tag != "?" && tag != "!")
      fail(node.place, fmt::format("tags ({}) are not used here", in_quotes(tag)));
    if (open_.empty()) return root_ = std::move(node);
    YamlNode& parent = *open_.back();
    const bool is_value = parent.kind == YamlKind::map && parent.keys.size() > parent.items.size();
    if (is_value && node.kind == YamlKind::nothing) node.place = parent.keys.back().place;
    if (parent.kind == YamlKind::list || is_value) return parent.items.emplace_back(std::move(node));
    if (node.kind != YamlKind::word) fail(node.place, "a key must be a word");
    parent.keys.push_back({node.word, node.place});
    return parent;
  }

  void open(YamlNode& node) {
    if (open_.size() >= kMostDepth) fail(node.place, fmt::format("nested deeper than {} levels", kMostDepth));
    open_.push_back(&node);
  }

  const std::string& file_;
  YamlNode root_;
  std::vector<YamlNode*> open_;
};

// yaml-cpp takes some control characters for the end of the file, and guesses other encodings; so both are refused.
void check_characters(const std::string& text, const std::string& file) {
  Place place{file, 1, 1};
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool blank = c == '\n' || c == '\r' || c == '\t';
    if ((c < 0x20 && !blank) || c == 0x7F) fail(place, fmt::format("control character 0x{:02x}", c));
    const std::size_t length = utf8_length(text, i);
    if (length == 0) fail(place, fmt::format("byte 0x{:02x} is not UTF-8", c));
    i += length;
    place.column = c == '\n' ? 1 : place.column + 1;
    place.line += c == '\n' ? 1 : 0;
  }
}

}  // namespace

YamlNode parse_yaml(const std::string& text, const std::string& file) {
  if (text.size() > kMostSpecBytes)
    fail({file, 1, 1}, fmt::format("{} bytes; a network's file has at most {}", text.size(), kMostSpecBytes));
  check_characters(text, file);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    TreeBuilder builder(file);
    if (!parser.HandleNextDocument(builder)) fail({file, 1, 1}, "the file is empty");
    TreeBuilder second(file);
    if (parser.HandleNextDocument(second)) fail(second.take().place, "a second document; a file holds one");
    return builder.take();
  } catch (const YAML::Exception& error) {
    fail(place_of(error.mark, file), fmt::format("not YAML: {}", error.msg));
  }
}

}  // namespace trainer
