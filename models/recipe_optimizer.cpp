// The optimisers of a recipe, its groups, and values by epoch, from YAML.
#include <algorithm>
#include <fmt/format.h>

#include "models/recipe.hpp"

namespace trainer {

namespace {

constexpr std::size_t kMostGroups = kMostOptimizers - 1;  // beside the recipe's own

// In the order of the enumeration.
const Words& optimizer_words() {
  static const Words words{"sgd", "adam", "adamw", "adadelta", "muon"};
  return words;
}

Pieces read_momentum(const YamlNode& node, const std::string& what) {
  if (node.kind == YamlKind::map) return read_pieces(node, what, kFraction);
  Pieces pieces;
  pieces.value[0] = static_cast<float>(read_number(node, what, kFraction));
  pieces.count = pieces.value[0] > 0 ? 1 : 0;
  return pieces;
}

void read_sgd(const YamlTagged& tagged, Optimizer& optimizer) {
  const MapReader map(tagged, {"momentum", "nesterov", "unit_gain"});
  if (const YamlNode* node = map.find("momentum")) {
    optimizer.momentum = read_momentum(*node, map.name_of("momentum"));
  }
  map.read("nesterov", optimizer.nesterov);
  map.read("unit_gain", optimizer.dampening);
  if (optimizer.momentum.count == 0 && (optimizer.nesterov || optimizer.dampening)) {
    fail(map.place(), fmt::format("sgd: {} needs 'momentum'", optimizer.nesterov ? "nesterov" : "unit_gain"));
  }
}

void read_muon(const YamlTagged& tagged, Optimizer& optimizer) {
  const MapReader map(tagged, {"momentum", "passes"});
  if (const YamlNode* node = map.find("momentum")) {
    optimizer.momentum = read_momentum(*node, map.name_of("momentum"));
  }
  map.read("passes", optimizer.iterations, {1, 100});
}

Optimizer read_optimizer(const YamlNode& node) {
  const YamlTagged tagged = read_tagged(node, "optimizer", optimizer_words());
  Optimizer optimizer = *optimizer_named(tagged.word);
  switch (optimizer.kind) {
    case OptimizerKind::sgd:
      read_sgd(tagged, optimizer);
      break;
    case OptimizerKind::adam:
    case OptimizerKind::adamw: {
      const MapReader map(tagged, {"beta1", "beta2", "epsilon"});
      map.read("beta1", optimizer.beta1, kFraction);
      map.read("beta2", optimizer.beta2, kFraction);
      map.read("epsilon", optimizer.epsilon, {1e-30, 1});
      break;
    }
    case OptimizerKind::adadelta: {
      const MapReader map(tagged, {"rho", "epsilon"});
      map.read("rho", optimizer.rho, kFraction);
      map.read("epsilon", optimizer.epsilon, {1e-30, 1});
      break;
    }
    case OptimizerKind::muon:
      read_muon(tagged, optimizer);
      break;
  }
  return optimizer;
}

OptimizerGroup read_group(const YamlNode& node, double rate, const std::vector<OptimizerGroup>& earlier) {
  const MapReader map(node, "groups", {"weights", "optimizer", "rate"});
  OptimizerGroup group;
  group.place = node.place;
  const YamlNode& weights = map.require("weights");
  if (weights.kind != YamlKind::list || weights.items.empty())
    fail(weights.place, "groups: weights must be a list of layers, like [conv1, dense1]");
  for (const YamlNode& item : weights.items) {
    group.layers.push_back(read_text(item, "groups: a layer"));
    const auto has_it = [&](const OptimizerGroup& g) {
      return std::find(g.layers.begin(), g.layers.end(), group.layers.back()) != g.layers.end();
    };
    if (std::any_of(earlier.begin(), earlier.end(), has_it))
      fail(item.place, fmt::format("groups: '{}' is in two groups", group.layers.back()));
  }
  group.optimizer = read_optimizer(map.require("optimizer"));
  double own = rate;
  map.read("rate", own, kPositive);
  group.rate_factor = own / rate;
  return group;
}

}  // namespace

Pieces read_pieces(const YamlNode& node, const std::string& what, NumberRange range) {
  if (node.kind != YamlKind::map) fail(node.place, what + " must be a map of epochs, like {0: 1, 10: 0.5}");
  if (node.keys.empty() || node.keys.size() > Pieces::kMost) {
    fail(node.place,
         fmt::format("{} must have 1 to {} epochs, not {}", what, Pieces::kMost, node.keys.size()));
  }
  Pieces pieces;
  std::int64_t earliest = 0;
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const YamlNode key{YamlKind::word, node.keys[i].place, node.keys[i].word, {}, {}};
    const std::int64_t from = read_whole(key, what + ": an epoch", {earliest, i == 0 ? 0 : kMostEpochs});
    pieces.from[i] = static_cast<std::uint32_t>(from);
    pieces.value[i] =
        static_cast<float>(read_number(node.items[i], fmt::format("{} from epoch {}", what, from), range));
    earliest = from + 1;
  }
  pieces.count = static_cast<int>(node.keys.size());
  return pieces;
}

// The optimiser of what is in no group: it takes biases and gains too.
Optimizer read_main_optimizer(const YamlNode& node) {
  const Optimizer optimizer = read_optimizer(node);
  if (takes_matrices(optimizer)) {
    fail(node.place, fmt::format("optimizer: {} takes weights alone, and a network has more parameters; name "
                                 "the layers under `groups`, and here the optimiser of the rest",
                                 optimizer_word(optimizer.kind)));
  }
  return optimizer;
}

std::vector<OptimizerGroup> read_groups(const YamlNode& node, double rate) {
  if (node.kind != YamlKind::list) fail(node.place, "groups must be a list with a group a line");
  if (node.items.size() > kMostGroups) {
    fail(node.items[kMostGroups].place,
         fmt::format("{} groups; a recipe has at most {}", node.items.size(), kMostGroups));
  }
  std::vector<OptimizerGroup> groups;
  for (const YamlNode& item : node.items) groups.push_back(read_group(item, rate, groups));
  return groups;
}

std::optional<Optimizer> optimizer_named(std::string_view word) {
  const Words& words = optimizer_words();
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] != word) continue;
    Optimizer optimizer;
    optimizer.kind = static_cast<OptimizerKind>(i);
    if (optimizer.kind == OptimizerKind::adadelta) optimizer.epsilon = 1e-6F;
    return optimizer;
  }
  return std::nullopt;
}

std::vector<Optimizer> optimizers_of(const Recipe& recipe) {
  std::vector<Optimizer> all{recipe.optimizer};
  for (const OptimizerGroup& group : recipe.groups) all.push_back(group.optimizer);
  return all;
}

const char* optimizer_word(OptimizerKind kind) {
  return optimizer_words().at(static_cast<std::size_t>(kind)).c_str();
}

}  // namespace trainer
