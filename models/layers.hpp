// The layers of a network: read from YAML, then described one by one as ops, with their shapes worked out and checked.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "models/plan.hpp"
#include "models/yaml_reader.hpp"

namespace trainer {

// The most elements of any one array, so that an index fits a kernel's int.
inline constexpr std::uint64_t kMostElements = std::numeric_limits<std::int32_t>::max();

// A layer's position in its network.
struct LayerPosition {
  std::string name;  // "conv2"
  int number = 1;    // among the layers of its kind, from 1
  Shape in;
  bool last = false;
  Shape skip;  // residual: what the first layer of the block reads
};

[[noreturn]] void fail_layer(const LayerSpec& layer, const std::string& name, const std::string& message);

// A layer's word, and its settings.
YamlTagged read_layer_word(const YamlNode& node);
LayerSpec read_layer(const YamlTagged& tagged);

// Reads the list `layers` of a network's file. The layers of a residual block stand in a row, and then the block itself.
std::vector<LayerSpec> read_layers(const YamlNode& node);

// The last layer becomes a HeadDesc. Throws SpecError with place and name if the layer does not fit its input or
// is too large.
OpDesc describe_layer(const LayerSpec& layer, const LayerPosition& position, const PlanInput& input);

// "conv 5x5x24 valid", "maxpool 3 stride 2", "dense 10"
std::string layer_text(const LayerSpec& layer, int classes);

}  // namespace trainer
