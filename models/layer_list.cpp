// The list of a network's layers. The layers of a residual block are in a list of their own, which becomes part of the one list: so
// layers are numbered and described in the order in which they run, and a block ends with the layer that adds its input.
#include <fmt/format.h>

#include "models/layers.hpp"

namespace trainer {

namespace {

constexpr std::size_t kMostLayers = 256;

bool is_residual(const YamlTagged& tagged) {
  return tagged.word == layer_word(LayerKind::residual);
}

void read_block(const YamlTagged& block, std::vector<LayerSpec>& layers) {
  const YamlNode* list = block.arguments;
  if (list == nullptr || list->kind != YamlKind::list || list->items.empty())
    fail(block.place, "residual must have a list of the layers inside, as in `residual: [batchnorm, relu]`");
  const std::size_t first = layers.size();
  for (const YamlNode& item : list->items) {
    const YamlTagged inner = read_layer_word(item);
    if (is_residual(inner)) fail(inner.place, "residual: a block in a block; write it before or after");
    layers.push_back(read_layer(inner));
  }
  layers[first].opens_block = true;
  LayerSpec& end = layers.emplace_back();
  end.kind = LayerKind::residual;
  end.place = block.place;
  end.inside = static_cast<int>(list->items.size());
}

}  // namespace

std::vector<LayerSpec> read_layers(const YamlNode& node) {
  if (node.kind != YamlKind::list || node.items.empty())
    fail(node.place, "layers must be a list with a layer a line, each after a dash");
  std::vector<LayerSpec> layers;
  for (const YamlNode& item : node.items) {
    const YamlTagged tagged = read_layer_word(item);
    if (is_residual(tagged)) {
      read_block(tagged, layers);
    } else {
      layers.push_back(read_layer(tagged));
    }
  }
  if (layers.size() > kMostLayers) {
    fail(layers[kMostLayers].place,
         fmt::format("{} layers; a network has at most {}", layers.size(), kMostLayers));
  }
  return layers;
}

}  // namespace trainer
