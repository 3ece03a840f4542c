// Reading the recipe half of a network's file; spec.cpp reads the layers.
#pragma once

#include <string>
#include <vector>

#include "models/spec.hpp"
#include "models/yaml_reader.hpp"

namespace trainer {

Recipe read_recipe(const YamlNode& node);

// `uniform_fan_in`, `{constant: 0.1}`, `{normal: 1}`; `what` names it in errors.
Initialization read_initialization(const YamlNode& node, const std::string& what);

// What recipe.cpp leaves to recipe_optimizer.cpp: optimisers, their groups, and values by epoch.
inline constexpr int kMostEpochs = 1'000'000;
inline constexpr NumberRange kFraction{.low = 0, .high = 1, .open_high = true};  // [0, 1)
inline constexpr NumberRange kPositive{1e-30, 1e30};

// `{0: 0.1, 5: 0.9}`: values by the epoch from which they hold.
Pieces read_pieces(const YamlNode& node, const std::string& what, NumberRange range);

// The optimiser of what is in no group: it takes biases and gains too.
Optimizer read_main_optimizer(const YamlNode& node);

// `rate` is the recipe's.
std::vector<OptimizerGroup> read_groups(const YamlNode& node, double rate);

}  // namespace trainer
