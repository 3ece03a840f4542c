// The recipe for people, one line for each part.
#include <cmath>
#include <fmt/ranges.h>

#include "models/plan.hpp"
#include "models/recipe.hpp"

namespace trainer {

namespace {

std::string start_text(const Initialization& start) {
  if (start.kind == Initializer::constant) return number_text(start.value);
  const std::string word = initializer_word(start.kind);
  const bool normal = start.kind == Initializer::normal || start.kind == Initializer::truncated_normal;
  return normal ? fmt::format("{} of deviation {}", word, number_text(start.deviation)) : word;
}

// The initialisers of the whole network, then those of layers that have their own.
std::string starts_text(const Plan& plan, const Spec& spec) {
  std::string text =
      fmt::format("weights {}, biases {}", start_text(spec.recipe.weights), start_text(spec.recipe.biases));
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerSpec& layer = spec.layers[i];
    if (layer.weights)
      text += fmt::format("; {} weights {}", plan.layers[i].name, start_text(*layer.weights));
    if (layer.biases) text += fmt::format("; {} biases {}", plan.layers[i].name, start_text(*layer.biases));
  }
  return text;
}

std::string schedule_text(const Schedule& s) {
  std::string rate = number_text(s.rate);
  const std::string end = number_text(s.rate * s.end);
  const auto up_and_down = [&](const char* name, float from, const std::string& to) {
    return fmt::format("{}: {} up to {} in {} % of the steps, then down to {}", name, number_text(from), rate,
                       number_text(100 * s.warmup), to);
  };
  switch (s.kind) {
    case ScheduleKind::constant:
      return rate;
    case ScheduleKind::steps:
      return pieces_text(s.pieces, s.rate);
    case ScheduleKind::exponential:
      return fmt::format("{} x {}^epoch", rate, number_text(s.decay));
    case ScheduleKind::inverse:
      return fmt::format("{} x (1 + {} x step)^-{}", rate, number_text(s.gamma), number_text(s.power));
    case ScheduleKind::one_cycle:
      return up_and_down("one cycle", s.rate / s.start_divisor,
                         number_text(s.rate / s.start_divisor / s.end_divisor));
    case ScheduleKind::cosine:
      return fmt::format("cosine: {} down to {}", rate, end);
    case ScheduleKind::linear:
      return s.warmup == 0 ? fmt::format("linear: {} down to {}", rate, end)
                           : up_and_down("linear", s.rate * s.start, end);
  }
  return "";
}

std::string rate_text(const Recipe& recipe) {
  const double biases = recipe.bias_rate_factor;
  return schedule_text(recipe.schedule) +
         (biases == 1 ? "" : fmt::format("; biases x {}", number_text(biases)));
}

// "muon, momentum 0.6, 3 passes, of conv1 conv2 dense1, rate 0.4"
std::string group_text(const OptimizerGroup& group, float rate) {
  return fmt::format("{}, of {}, rate {}", optimizer_text(group.optimizer), fmt::join(group.layers, " "),
                     number_text(rate * group.rate_factor));
}

// Empty for the plain loss.
std::string loss_text(const Recipe& recipe) {
  std::string text;
  if (recipe.label_smoothing > 0)
    text += fmt::format(", labels smoothed by {}", number_text(recipe.label_smoothing));
  if (recipe.logit_scale != 1) text += fmt::format(", logits x {}", number_text(recipe.logit_scale));
  return text.empty() ? "" : "cross-entropy" + text;
}

// "the hardest 35 % of a batch are backpropagated, from 25 % of the steps on"; empty if the whole batch is.
std::string keep_text(const Selection& keep) {
  if (!keep.selects()) return "";
  const std::string start =
      keep.from > 0 ? fmt::format(", from {} % of the steps on", number_text(100 * keep.from)) : "";
  return fmt::format("the hardest {} % of a batch are backpropagated{}", number_text(100 * keep.fraction),
                     start);
}

std::string decay_text(const Recipe& recipe) {
  if (recipe.weight_decay == 0) return "";
  return fmt::format("{}, of the weights{} of {}", number_text(recipe.weight_decay),
                     recipe.decay_biases ? " and biases" : "",
                     recipe.decay_dense_only ? "dense layers" : "conv and dense layers");
}

std::string batch_text(const Recipe& recipe, int batch) {
  const char* end = recipe.last_batch == LastBatch::mask   ? "a short last batch is masked"
                    : recipe.last_batch == LastBatch::drop ? "a short last batch is dropped"
                                                           : "a last batch wraps into the next epoch";
  const std::string own = batch == recipe.batch ? "" : fmt::format(" (the recipe's own: {})", recipe.batch);
  return fmt::format("{}{}, order {}, {}", batch, own, order_word(recipe.order), end);
}

std::string length_text(const Recipe& recipe) {
  if (recipe.steps) return grouped(static_cast<std::uint64_t>(*recipe.steps)) + " steps";
  const int epochs = recipe.epochs.value_or(0);
  return fmt::format("{} {}", grouped(static_cast<std::uint64_t>(epochs)), epochs == 1 ? "epoch" : "epochs");
}

// "as good as fp32: on a CPU bf16, on a GPU bf16, tf32"; empty if none is.
std::string precisions_text(const RecipePrecisions& precisions) {
  Words engines;
  const auto add = [&](const char* engine, const std::vector<Precision>& all) {
    Words names;
    for (const Precision precision : all) names.emplace_back(precision_name(precision));
    if (!all.empty()) engines.push_back(fmt::format("on a {} {}", engine, joined(names)));
  };
  add("CPU", precisions.cpu);
  add("GPU", precisions.cuda);
  return engines.empty() ? "" : "as good as fp32: " + joined(engines);
}

// Empty if there are no images.
std::string images_text(const char* before, int images, const char* after) {
  return images == 0 ? "" : before + grouped(static_cast<std::uint64_t>(images)) + after;
}

}  // namespace

std::string number_text(double value) {
  return fmt::format("{:.6g}", value);
}

std::string pieces_text(const Pieces& pieces, float factor) {
  std::string text;
  for (int i = 0; i < pieces.count; ++i) {
    if (i > 0) text += ", ";
    text += number_text(pieces.value[i] * factor);
    if (i > 0) text += fmt::format(" from epoch {}", pieces.from[i]);
  }
  return text;
}

std::string recipe_text(const Plan& plan, const Spec& spec) {
  const Recipe& recipe = spec.recipe;
  std::string text;
  const auto line = [&text](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<11} {}\n", name, value);
  };
  line("input", input_text(recipe.input));
  const Words changes = augmentation_lines(recipe.input.augmentation);
  for (std::size_t i = 0; i < changes.size(); ++i) line(i == 0 ? "augment" : "", changes[i]);
  line("start", starts_text(plan, spec));
  for (const OptimizerGroup& group : recipe.groups)
    line("optimizer", group_text(group, recipe.schedule.rate));
  line(recipe.groups.empty() ? "optimizer" : "  the rest", optimizer_text(recipe.optimizer));
  line("rate", rate_text(recipe));
  line("loss", loss_text(recipe));
  line("keep", keep_text(recipe.keep));
  line("decay", decay_text(recipe));
  line("clipping",
       recipe.clip_norm > 0 ? fmt::format("gradients to a norm of {}", number_text(recipe.clip_norm)) : "");
  line("batch", batch_text(recipe, plan.input.batch));
  line("length", length_text(recipe));
  if (recipe.average)
    line("tests", fmt::format("with the weights' moving average, decay {}", number_text(*recipe.average)));
  line("precisions", precisions_text(recipe.precisions));
  line("held out", images_text("the first ", recipe.hold_out_first, " training images"));
  line("views", recipe.views > 1 ? "5 of an uncertain test image" : "");
  line("reports", images_text("the accuracy on the first ", recipe.report_test_first,
                              " test images too, as the sample did"));
  return text;
}

}  // namespace trainer
