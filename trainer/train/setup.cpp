// From spec, settings and data set to fixed numbers.
#include "trainer/train/setup.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <span>

#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

// Which training images are trained on and which are held out: the recipe's first ones, or the last
// `--validation`.
void cut_training_split(Setup& setup) {
  const TrainSettings& settings = setup.settings;
  const auto stored = static_cast<std::uint32_t>(setup.dataset.train.count());
  const std::uint32_t last = settings.validation.value_or(0);
  const std::uint32_t first =
      settings.validation ? 0 : static_cast<std::uint32_t>(setup.spec.recipe.hold_out_first);
  const std::uint32_t held_out = last + first;
  if (last >= stored || held_out >= stored) {
    const char* who = settings.validation ? "--validation" : "the recipe's hold_out_first";
    throw UsageError(fmt::format("{}: {} images to hold out, but '{}' has {} training images", who, held_out,
                                 setup.dataset.name, stored));
  }
  setup.train.first = first;
  setup.train.images = std::min(stored - held_out, settings.limit_train.value_or(stored));
  setup.validation.first = settings.validation ? stored - last : 0;
  setup.validation.images = held_out;
  setup.test.images = static_cast<std::uint32_t>(setup.dataset.test.count());
}

std::uint64_t run_length(const Recipe& recipe, const Batching& train) {
  if (recipe.steps) return static_cast<std::uint64_t>(*recipe.steps);
  const auto epochs = static_cast<std::uint64_t>(recipe.epochs.value_or(1));
  if (train.last_batch == LastBatch::wrap) return (epochs * train.images + train.batch - 1) / train.batch;
  return epochs * steps_per_pass(train);
}

}  // namespace

std::uint64_t Setup::epochs() const {
  return train.last_batch == LastBatch::wrap
             ? (total_steps * train.batch + train.images - 1) / train.images
             : (total_steps + steps_per_pass(train) - 1) / steps_per_pass(train);
}

PixelScaling pixel_scaling(const InputScaling& input, std::span<const std::uint8_t> train_pixels) {
  InputScaling scaling = input;
  if (input.from_data) {
    const data::PixelStatistics statistics = data::pixel_statistics(train_pixels);
    scaling = {1.0 / 255, statistics.mean, statistics.deviation, false};
  }
  return {static_cast<float>(scaling.scale / scaling.deviation),
          static_cast<float>(-scaling.mean / scaling.deviation)};
}

Setup make_setup(Spec spec, const TrainSettings& settings, data::Dataset dataset) {
  Setup setup;
  setup.spec = std::move(spec);
  setup.settings = settings;
  setup.dataset = std::move(dataset);
  Recipe& recipe = setup.spec.recipe;
  recipe = changed_recipe(recipe, settings);
  const Shape& shape = setup.dataset.shape;
  if (setup.dataset.classes < 2) {
    throw UsageError(
        fmt::format("{}: only one class: there is nothing to tell apart; check the labels, or give --classes",
                    setup.dataset.path.string()));
  }
  setup.plan = make_plan(setup.spec, {shape, setup.dataset.classes, recipe.batch});

  const auto batch = static_cast<std::uint32_t>(recipe.batch);
  setup.train = {0, 0, batch, recipe.order, recipe.last_batch};
  setup.validation = setup.test = {0, 0, batch, Order::fixed, LastBatch::mask};
  cut_training_split(setup);
  if (recipe.last_batch == LastBatch::drop && setup.train.images < batch) {
    throw UsageError(
        fmt::format("--batch {}: larger than the {} training images, and the recipe drops a short batch",
                    batch, setup.train.images));
  }
  const std::size_t pixels = std::size_t{setup.train.images} * shape.size();
  setup.scaling = pixel_scaling(
      recipe.input, std::span(setup.dataset.train.images).subspan(setup.train.first * shape.size(), pixels));
  setup.total_steps = run_length(recipe, setup.train);
  recipe.schedule.steps = setup.total_steps;
  setup.rule = {optimizers_of(recipe), recipe.schedule};
  return setup;
}

void require_memory(const Setup& setup, const DeviceInfo& info) {
  const Plan& plan = setup.plan;
  // Activations and their gradients; parameters, theirs, and what the optimiser keeps of each.
  std::uint64_t copies = 2;
  for (const Optimizer& optimizer : setup.rule.optimizers)
    copies = std::max(copies, 2 + static_cast<std::uint64_t>(optimizer_slots(optimizer)));
  const std::uint64_t needed = 2 * plan.activation_bytes + copies * plan.parameters * sizeof(float);
  const std::uint64_t available = info.cpu.available_bytes;
  if (info.kind != "cpu" || available == 0 || needed <= available) return;
  constexpr double kGibibyte = 1 << 30;
  throw UsageError(fmt::format(
      "--batch {}: '{}' needs at least {:.1f} GiB, and {:.1f} GiB are available; use a smaller batch",
      plan.input.batch, plan.model, static_cast<double>(needed) / kGibibyte,
      static_cast<double>(available) / kGibibyte));
}

std::uint64_t next_evaluation(const Setup& setup, std::uint64_t step) {
  const Batching& train = setup.train;
  const std::uint64_t pass = pass_of(train, step);
  const std::uint64_t end = train.last_batch == LastBatch::wrap
                                ? ((pass + 1) * train.images + train.batch - 1) / train.batch
                                : (pass + 1) * steps_per_pass(train);
  return std::min(end, setup.total_steps);
}

}  // namespace trainer
