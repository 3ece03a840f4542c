// The parts of a recipe, each read from YAML and written as JSON and text. recipe.cpp has the table of the recipe's keys,
// learning.cpp the tables of optimisers and schedules, recipe_text.cpp the lines for people.
#pragma once

#include <string>
#include <vector>

#include "models/settings.hpp"
#include "models/spec.hpp"

namespace trainer {

inline constexpr int kMostEpochs = 1'000'000;
inline constexpr NumberRange kFraction{.low = 0, .high = 1, .open_high = true};  // [0, 1)
inline constexpr NumberRange kPositive{1e-30, 1e30};

Recipe read_recipe(const YamlNode& node);

InputScaling read_input(const YamlNode& node);
nlohmann::ordered_json to_json(const InputScaling& input);
std::string input_text(const InputScaling& input);
// Throws SpecError if the images are too small to be changed as `augment` says.
void check_augmentation(const Spec& spec, const Shape& image);
Words augmentation_lines(const Augmentation& augmentation);  // none if it changes nothing

// `uniform_fan_in`, `{constant: 0.1}`, `{normal: 1}`; `what` names it in errors.
Initialization read_initialization(const YamlNode& node, const std::string& what);
nlohmann::ordered_json to_json(const Initialization& start);

// The optimiser of all parameters that are in no group, including all biases, gammas and betas.
Optimizer read_main_optimizer(const YamlNode& node);
nlohmann::ordered_json to_json(const Optimizer& optimizer);
std::string optimizer_text(const Optimizer& optimizer);  // "sgd, momentum 0.9, nesterov"

// `rate` is the recipe's learning rate.
std::vector<OptimizerGroup> read_groups(const YamlNode& node, double rate);
nlohmann::ordered_json to_json(const OptimizerGroup& group);

void read_schedule(const YamlNode& node, Schedule& schedule);
nlohmann::ordered_json to_json(const Schedule& schedule);

std::string number_text(double value);                        // six digits: "0.3" for 0.3F
std::string pieces_text(const Pieces& pieces, float factor);  // "0.128, 0.064 from epoch 10"

}  // namespace trainer
