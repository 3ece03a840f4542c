#include "trainer/train/setup.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <span>

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
  fields("bits", settings.bits);
  fields("channels", settings.channels);
  fields("skip_bad_images", settings.skip_bad_images);
  fields.later("transpose", settings.transpose);
  fields("subset", settings.subset);
  fields("from", settings.from);
  fields("from_sha256", settings.from_sha256);
  fields("new_head", settings.new_head);
  fields("gradient_bits", settings.gradient_bits);
  fields("warm_start_images", settings.warm_start_images);
  fields("sync_batchnorm", settings.sync_batchnorm);
}

// The recipe with the settings' changes.
Recipe changed_recipe(Recipe recipe, const TrainSettings& settings) {
  if (settings.batch) recipe.batch = *settings.batch;
  if (settings.epochs) {
    recipe.epochs = settings.epochs;
    recipe.steps.reset();
  }
  if (settings.optimizer) {
    const std::optional<Optimizer> named = optimizer_named(*settings.optimizer);
    if (!named || takes_matrices(*named))
      throw UsageError(fmt::format("--optimizer {}: one of sgd, adam, adamw, adadelta", *settings.optimizer));
    recipe.optimizer = *named;
    recipe.groups.clear();
  }
  if (settings.rate) {
    const auto rate = static_cast<float>(*settings.rate);
    if (!std::isfinite(rate) || !(rate > 0))
      throw UsageError(
          fmt::format("--lr {}: a learning rate is a positive number of single precision", *settings.rate));
    recipe.schedule.rate = rate;
  }
  return recipe;
}

// Divides the training images into those to train on and those held out: the data set's own and --validation's, else the
// recipe's first ones.
void cut_training_split(Setup& setup) {
  const TrainSettings& settings = setup.settings;
  const auto stored = static_cast<std::uint32_t>(setup.dataset.train.count());
  const auto own = static_cast<std::uint32_t>(setup.dataset.validation_images);
  const std::uint32_t last = own + settings.validation.value_or(0);
  const std::uint32_t first =
      own > 0 || settings.validation ? 0 : static_cast<std::uint32_t>(setup.spec.recipe.hold_out_first);
  const std::uint32_t held_out = last + first;
  if (last >= stored || held_out >= stored) {
    const char* who = settings.validation ? "--validation" : "the recipe's hold_out_first";
    throw UsageError(fmt::format("{}: {} images to hold out, but '{}' has {} training images", who, held_out,
                                 setup.dataset.name, stored));
  }
  setup.train.first = first;
  setup.train.images = std::min(stored - held_out, settings.limit_train.value_or(stored));
  setup.validation.first = last > 0 ? stored - last : 0;
  setup.validation.images = held_out;
  if (settings.subset == kSpread) choose_images(setup);
  setup.test.images = static_cast<std::uint32_t>(setup.dataset.test.count());
}

std::uint64_t steps_of_epochs(const Batching& train, std::uint64_t epochs) {
  return train.last_batch == LastBatch::wrap
             ? (epochs * train.images + rows_of_all(train) - 1) / rows_of_all(train)
             : epochs * steps_per_epoch(train);
}

std::uint64_t run_length(const Recipe& recipe, const Batching& train) {
  return recipe.steps ? static_cast<std::uint64_t>(*recipe.steps)
                      : steps_of_epochs(train, static_cast<std::uint64_t>(recipe.epochs.value_or(1)));
}

// `normalize: data` takes mean and deviation from `train_pixels`: those of the images to train on, without the held-out ones.
PixelScaling pixel_scaling(const InputScaling& input, std::span<const std::uint8_t> train_pixels) {
  if (input.by_image) return {1, 0, true};
  InputScaling scaling = input;
  if (input.from_data) {
    const data::PixelStatistics statistics = data::pixel_statistics(train_pixels);
    scaling.mean = statistics.mean;  // scale is 1/255
    scaling.deviation = statistics.deviation;
  }
  return {static_cast<float>(scaling.scale / scaling.deviation),
          static_cast<float>(-scaling.mean / scaling.deviation)};
}

}  // namespace

data::LoadOptions load_options(const TrainSettings& settings) {
  return {.classes = settings.classes,
          .channels = settings.channels,
          .skip_bad_images = settings.skip_bad_images,
          .transpose = settings.transpose,
          .validation = settings.validation != 0U};
}

ordered_json to_json(const TrainSettings& settings) {
  ordered_json json = ordered_json::object();
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

std::uint64_t Setup::epochs() const {
  return total_steps == 0 ? 0 : std::min(epoch_of(train, total_steps - 1) + 1, total_steps);
}

Setup make_setup(Spec spec, const TrainSettings& settings, data::Dataset dataset) {
  Setup setup;
  setup.spec = std::move(spec);
  setup.settings = settings;
  setup.dataset = std::move(dataset);
  Recipe& recipe = setup.spec.recipe;
  recipe = changed_recipe(recipe, settings);
  const Shape& shape = setup.dataset.shape;
  if (setup.dataset.classes < 2)
    throw UsageError(
        fmt::format("{}: only one class: there is nothing to tell apart; check the labels, or give --classes",
                    setup.dataset.path.string()));
  setup.plan = make_plan(setup.spec, {shape, setup.dataset.classes, recipe.batch});

  const auto batch = static_cast<std::uint32_t>(recipe.batch);
  setup.train = {0, 0, batch, recipe.order, recipe.last_batch};
  setup.validation = setup.test = {0, 0, batch, Order::fixed, LastBatch::mask};
  cut_training_split(setup);
  if (recipe.last_batch == LastBatch::drop && setup.train.images < batch)
    throw UsageError(
        fmt::format("--batch {}: larger than the {} training images, and the recipe drops a short batch",
                    batch, setup.train.images));
  const std::size_t pixels = std::size_t{setup.train.images} * shape.size();
  setup.scaling = pixel_scaling(
      recipe.input, std::span(setup.dataset.train.images).subspan(setup.train.first * shape.size(), pixels));
  setup.total_steps = run_length(recipe, setup.train);
  recipe.schedule.steps = setup.total_steps;
  setup.rule = {optimizers_of(recipe), recipe.schedule, static_cast<float>(recipe.clip_norm)};
  return setup;
}

std::uint64_t next_evaluation(const Setup& setup, std::uint64_t step) {
  const Batching& train = setup.train;
  const std::uint64_t epochs = epoch_of(train, step) + 1;
  return std::min(steps_of_epochs(train, epochs), setup.total_steps);
}

}  // namespace trainer
