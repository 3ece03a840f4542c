// A network's file as `trainer models NAME --json` prints it, in place of YAML (models/yaml_parse.cpp).
#include <nlohmann/json.hpp>

#include "models/yaml_reader.hpp"

namespace trainer {

namespace {

using Json = nlohmann::ordered_json;

YamlNode node_of(const Json& json, const Place& place) {
  YamlNode node;
  node.place = place;
  if (json.is_null()) return node;
  node.kind = json.is_object() ? YamlKind::map : json.is_array() ? YamlKind::list : YamlKind::word;
  if (node.kind == YamlKind::word) {
    node.word = json.is_string() ? json.get<std::string>() : json.dump();
    return node;
  }
  for (const auto& [key, value] : json.items()) {
    if (node.kind == YamlKind::map) node.keys.push_back({key, place});
    node.items.push_back(node_of(value, place));
  }
  return node;
}

}  // namespace

YamlNode parse_yaml(const std::string& text, const std::string& file) {
  return node_of(Json::parse(text).at("file"), {file, 1, 1});
}

}  // namespace trainer
