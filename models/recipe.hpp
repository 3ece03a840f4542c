// Reading the recipe half of a network's file; spec.cpp reads the layers.
#pragma once

#include <string>

#include "models/spec.hpp"
#include "models/yaml_reader.hpp"

namespace trainer {

Recipe read_recipe(const YamlNode& node);

// `uniform_fan_in`, `{constant: 0.1}`, `{normal: 1}`; `what` names it in errors.
Initialization read_initialization(const YamlNode& node, const std::string& what);

}  // namespace trainer
