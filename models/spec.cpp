// The layers of a network from YAML: about one line a layer, each a word alone (`relu`) or a word with its
// settings (`conv: {out: 24, kernel: 5}`).
#include "models/spec.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <limits>

#include "models/recipe.hpp"
#include "models/yaml_reader.hpp"

namespace trainer {

namespace {

constexpr std::size_t kMostLayers = 256;
constexpr std::size_t kMostName = 64;
constexpr std::size_t kMostText = 80;  // what fits a line of a terminal
constexpr int kMostOutputs = 1 << 16;
constexpr int kMostExtent = 1 << 12;  // filters, windows, strides

// In the order of LayerKind.
const Words& layer_words() {
  static const Words words{"conv", "maxpool", "avgpool", "dense", "relu", "gelu", "dropout", "batchnorm"};
  return words;
}

bool starts_with_letter(const std::string& word) {
  return !word.empty() && std::isalpha(static_cast<unsigned char>(word.front())) != 0;
}

void read_initializers(const MapReader& map, LayerSpec& layer) {
  if (const YamlNode* node = map.find("weights")) {
    layer.weights = read_initialization(*node, map.name_of("weights"));
  }
  if (const YamlNode* node = map.find("biases")) {
    layer.biases = read_initialization(*node, map.name_of("biases"));
    if (!layer.bias) fail(node->place, "biases of a layer with `bias: false`");
  }
}

Padding read_padding(const YamlNode& node, int kernel) {
  if (node.kind == YamlKind::word && node.word == "same") return {Padding::Kind::same, 0};
  if (node.kind == YamlKind::word && node.word == "valid") return {Padding::Kind::valid, 0};
  const std::string what = "conv: padding";
  if (node.kind == YamlKind::word && starts_with_letter(node.word)) {
    fail(node.place, "conv: " + unknown_word("padding", node.word, {"same", "valid", "a number"}));
  }
  return {Padding::Kind::number, static_cast<int>(read_whole(node, what + " in numbers", {0, kernel - 1}))};
}

void read_conv(const YamlTagged& tagged, LayerSpec& layer) {
  const MapReader map(tagged, {"out", "kernel", "stride", "padding", "bias", "weights", "biases"});
  map.require("out");
  map.require("kernel");
  map.read("out", layer.out, {1, kMostOutputs});
  map.read("kernel", layer.kernel, {1, kMostExtent});
  map.read("stride", layer.stride, {1, kMostExtent});
  map.read("bias", layer.bias);
  if (const YamlNode* node = map.find("padding")) layer.padding = read_padding(*node, layer.kernel);
  read_initializers(map, layer);
}

void read_pool(const YamlTagged& tagged, LayerSpec& layer) {
  const MapReader map(tagged, {"size", "stride"});
  map.require("size");
  map.read("size", layer.size, {1, kMostExtent});
  layer.stride = layer.size;
  map.read("stride", layer.stride, {1, kMostExtent});
}

void read_dense(const YamlTagged& tagged, LayerSpec& layer) {
  const MapReader map(tagged, {"out", "bias", "weights", "biases"});
  const YamlNode& out = map.require("out");
  const bool classes = out.kind == YamlKind::word && out.word == "classes";
  if (out.kind == YamlKind::word && !classes && starts_with_letter(out.word)) {
    fail(out.place, fmt::format("dense: out must be `classes` or a whole number from 1 to {}, not {}",
                                kMostOutputs, in_quotes(out.word)));
  }
  if (!classes) map.read("out", layer.out, {1, kMostOutputs});
  map.read("bias", layer.bias);
  read_initializers(map, layer);
}

void read_dropout(const YamlTagged& tagged, LayerSpec& layer) {
  const MapReader map(tagged, {"drop"});
  map.require("drop");
  map.read("drop", layer.drop, {.low = 0, .high = 1, .open_high = true});
  // A float so near to 1 that 1 / (1 - drop) has no value left.
  if (static_cast<float>(layer.drop) >= 1) fail(map.place(), "dropout: drop rounds to 1");
}

void read_batchnorm(const YamlTagged& tagged, LayerSpec& layer) {
  const MapReader map(tagged, {"epsilon", "momentum", "gain"});
  map.read("epsilon", layer.epsilon, {1e-30, 1});
  map.read("momentum", layer.momentum, {.low = 0, .high = 1, .open_low = true});
  map.read("gain", layer.gain);
}

LayerSpec read_layer(const YamlNode& node) {
  const bool flatten = (node.kind == YamlKind::word && node.word == "flatten") ||
                       (node.keys.size() == 1 && node.keys.front().word == "flatten");
  if (flatten) fail(node.place, "flatten is implied: dense takes any shape; leave this line out");
  const YamlTagged tagged = read_tagged(node, "layer", layer_words());
  LayerSpec layer;
  layer.kind = static_cast<LayerKind>(tagged.index);
  layer.place = tagged.place;
  switch (layer.kind) {
    case LayerKind::conv:
      read_conv(tagged, layer);
      break;
    case LayerKind::maxpool:
    case LayerKind::avgpool:
      read_pool(tagged, layer);
      break;
    case LayerKind::dense:
      read_dense(tagged, layer);
      break;
    case LayerKind::relu:
    case LayerKind::gelu:
      MapReader(tagged, {});
      break;
    case LayerKind::dropout:
      read_dropout(tagged, layer);
      break;
    case LayerKind::batchnorm:
      read_batchnorm(tagged, layer);
      break;
  }
  return layer;
}

std::vector<LayerSpec> read_layers(const YamlNode& node) {
  if (node.kind != YamlKind::list || node.items.empty()) {
    fail(node.place, "layers must be a list with a layer a line, each after a dash");
  }
  if (node.items.size() > kMostLayers) {
    fail(node.items[kMostLayers].place,
         fmt::format("{} layers; a network has at most {}", node.items.size(), kMostLayers));
  }
  std::vector<LayerSpec> layers;
  for (const YamlNode& item : node.items) layers.push_back(read_layer(item));
  return layers;
}

void check_name(const std::string& name, const Place& place) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  };
  const bool plain = !name.empty() && name.size() <= kMostName && name.front() != '.' &&
                     name.front() != '-' && std::all_of(name.begin(), name.end(), is_plain);
  if (plain) return;
  fail(place,
       fmt::format("name must be 1 to {} letters, digits, '.', '_' or '-', a letter or digit first, not {}",
                   kMostName, in_quotes(name)));
}

void read_line(const MapReader& map, const char* key, std::string& value) {
  map.read(key, value);
  if (value.size() > kMostText) {
    fail(map.require(key).place,
         fmt::format("{} has {} characters; at most {} fit its line", key, value.size(), kMostText));
  }
}

}  // namespace

std::string Place::text() const {
  return fmt::format("{}:{}:{}", file, line, column);
}

const char* layer_word(LayerKind kind) {
  return layer_words().at(static_cast<std::size_t>(kind)).c_str();
}

Spec parse_spec(const std::string& text, const std::string& file) {
  const YamlNode root = parse_yaml(text, file);
  const MapReader map(root, "a network", {"name", "about", "source", "parameters", "layers", "recipe"});
  Spec spec;
  spec.text = text;
  spec.name = read_text(map.require("name"), "name");
  check_name(spec.name, map.require("name").place);
  read_line(map, "about", spec.about);
  read_line(map, "source", spec.source);
  if (const YamlNode* node = map.find("parameters")) {
    spec.parameters = read_whole(*node, "parameters", {1, std::numeric_limits<std::int32_t>::max()});
  }
  spec.layers = read_layers(map.require("layers"));
  spec.recipe = read_recipe(map.require("recipe"));
  return spec;
}

}  // namespace trainer
