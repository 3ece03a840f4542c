// Settings to and from JSON, and onto a recipe.
#include "trainer/store/settings.hpp"

#include <cmath>
#include <fmt/format.h>

#include "trainer/system/errors.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

template <typename T>
void put(ordered_json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = *value;
}

template <typename T>
void take(const ordered_json& json, const char* key, std::optional<T>& value) {
  if (json.contains(key)) value = json.at(key).get<T>();
}

}  // namespace

ordered_json to_json(const TrainSettings& settings) {
  ordered_json json;
  json["seed"] = settings.seed;
  put(json, "epochs", settings.epochs);
  put(json, "batch", settings.batch);
  put(json, "lr", settings.rate);
  put(json, "optimizer", settings.optimizer);
  put(json, "limit_train", settings.limit_train);
  put(json, "validation", settings.validation);
  put(json, "classes", settings.classes);
  put(json, "precision", settings.precision);
  json["engine"] = settings.engine;
  json["channels"] = settings.channels;
  json["skip_bad_images"] = settings.skip_bad_images;
  return json;
}

TrainSettings settings_from_json(const ordered_json& json) {
  TrainSettings settings;
  settings.seed = json.at("seed").get<std::uint64_t>();
  take(json, "epochs", settings.epochs);
  take(json, "batch", settings.batch);
  take(json, "lr", settings.rate);
  take(json, "optimizer", settings.optimizer);
  take(json, "limit_train", settings.limit_train);
  take(json, "validation", settings.validation);
  take(json, "classes", settings.classes);
  take(json, "precision", settings.precision);
  settings.engine = json.value("engine", settings.engine);
  settings.channels = json.at("channels").get<int>();
  settings.skip_bad_images = json.at("skip_bad_images").get<bool>();
  return settings;
}

Recipe changed_recipe(Recipe recipe, const TrainSettings& settings) {
  if (settings.batch) recipe.batch = *settings.batch;
  if (settings.epochs) {
    recipe.epochs = settings.epochs;
    recipe.steps.reset();
  }
  if (settings.optimizer) {
    const std::optional<Optimizer> named = optimizer_named(*settings.optimizer);
    if (!named || takes_matrices(*named)) {
      throw UsageError(fmt::format("--optimizer {}: one of sgd, adam, adamw, adadelta", *settings.optimizer));
    }
    recipe.optimizer = *named;
    recipe.groups.clear();
  }
  if (settings.rate) {
    const auto rate = static_cast<float>(*settings.rate);
    if (!std::isfinite(rate) || !(rate > 0)) {
      throw UsageError(
          fmt::format("--lr {}: a learning rate is a positive number of single precision", *settings.rate));
    }
    recipe.schedule.rate = rate;
  }
  return recipe;
}

}  // namespace trainer
