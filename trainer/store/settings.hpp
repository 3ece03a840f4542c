// What decides the weights that a training ends with: the network, its recipe as changed by options, the seed
// and the part of the data. Kept apart from what does not (folders, output), because it is stored in every
// checkpoint and a resumed run takes it from there.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "models/spec.hpp"

namespace trainer {

struct TrainSettings {
  std::uint64_t seed = 1;
  std::optional<int> epochs;
  std::optional<int> batch;
  std::optional<double> rate;            // --lr
  std::optional<std::string> optimizer;  // by name, with its usual constants; the schedule stays
  std::optional<std::uint32_t> limit_train;
  std::optional<std::uint32_t> validation;
  std::optional<std::string> precision;  // of products [the recipe's fastest, else fp32]
  std::string engine = "auto";           // whose layers a GPU's are: --engine
  std::optional<int> classes;
  int channels = 1;
  bool skip_bad_images = false;
};

nlohmann::ordered_json to_json(const TrainSettings& settings);
// `file` is what an error calls the place that the settings stand in. Throws FileError with the field.
TrainSettings settings_from_json(const nlohmann::ordered_json& json, const std::string& file);

// The recipe with the settings' changes. Throws UsageError.
Recipe changed_recipe(Recipe recipe, const TrainSettings& settings);

}  // namespace trainer
