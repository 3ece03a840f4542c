// Settings to and from JSON, and onto a recipe.
#include "trainer/store/settings.hpp"

#include <cmath>
#include <fmt/format.h>

#include "trainer/system/errors.hpp"
#include "trainer/system/json_fields.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

template <class Fields, class Settings>
void settings_fields(Fields& fields, Settings& settings) {
  fields("seed", settings.seed);
  fields("epochs", settings.epochs);
  fields("batch", settings.batch);
  fields("lr", settings.rate);
  fields("optimizer", settings.optimizer);
  fields("limit_train", settings.limit_train);
  fields("validation", settings.validation);
  fields("classes", settings.classes);
  fields("precision", settings.precision);
  fields.later("engine", settings.engine);
  fields("channels", settings.channels);
  fields("skip_bad_images", settings.skip_bad_images);
}

}  // namespace

ordered_json to_json(const TrainSettings& settings) {
  ordered_json json;
  JsonWriter fields(json);
  settings_fields(fields, settings);
  return json;
}

TrainSettings settings_from_json(const ordered_json& json, const std::string& file) {
  const JsonReader fields(json, file);
  TrainSettings settings;
  settings_fields(fields, settings);
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
