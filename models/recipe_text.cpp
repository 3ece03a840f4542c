// The recipe in a few plain lines.
#include "models/recipe_text.hpp"

#include <cmath>
#include <fmt/format.h>

namespace trainer {

namespace {

// Six digits are enough for a reader, and hide that 0.3F is not 0.3.
std::string number(double value) {
  return fmt::format("{:.6g}", value);
}

std::string line(const char* name, const std::string& value) {
  return fmt::format("  {:<11} {}\n", name, value);
}

std::string scaling_text(const InputScaling& input) {
  if (input.from_data) return "(pixel / 255 - mean) / deviation, both of the training images";
  const double divisor = 1 / input.scale;
  const bool whole = std::abs(divisor - std::round(divisor)) < 1e-9 * divisor;
  std::string text =
      whole ? fmt::format("pixel / {:.0f}", divisor) : fmt::format("pixel * {}", number(input.scale));
  if (input.mean != 0)
    text += fmt::format(" {} {}", input.mean > 0 ? '-' : '+', number(std::abs(input.mean)));
  if (input.deviation == 1) return text;
  return input.mean != 0 ? fmt::format("({}) / {}", text, number(input.deviation))
                         : fmt::format("{} / {}", text, number(input.deviation));
}

std::string input_text(const InputScaling& input) {
  const std::string crop = input.crop > 0 ? fmt::format(", the centre {0}x{0}", input.crop) : "";
  return scaling_text(input) + crop;
}

std::string start_text(const Initialization& start) {
  switch (start.kind) {
    case Initializer::constant:
      return number(start.value);
    case Initializer::normal:
    case Initializer::truncated_normal:
      return fmt::format("{} of deviation {}", initializer_word(start.kind), number(start.deviation));
    default:
      return initializer_word(start.kind);
  }
}

// "0.128, 0.064 from epoch 10"
std::string pieces_text(const Pieces& pieces, float factor) {
  std::string text;
  for (int i = 0; i < pieces.count; ++i) {
    if (i > 0) text += ", ";
    text += number(pieces.value[i] * factor);
    if (i > 0) text += fmt::format(" from epoch {}", pieces.from[i]);
  }
  return text;
}

// Of the whole network, then of layers that start otherwise.
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

std::string optimizer_text(const Optimizer& o) {
  std::string word = optimizer_word(o.kind);
  switch (o.kind) {
    case OptimizerKind::sgd:
      if (o.momentum.count == 0) return word;
      return fmt::format("{}, momentum {}{}{}", word, pieces_text(o.momentum, 1),
                         o.nesterov ? ", nesterov" : "", o.dampening ? ", unit gain" : "");
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return fmt::format("{}, beta1 {}, beta2 {}, epsilon {}", word, number(o.beta1), number(o.beta2),
                         number(o.epsilon));
    case OptimizerKind::adadelta:
      return fmt::format("{}, rho {}, epsilon {}", word, number(o.rho), number(o.epsilon));
    case OptimizerKind::muon:
      if (o.momentum.count == 0) return fmt::format("{}, {} passes", word, o.iterations);
      return fmt::format("{}, momentum {}, {} passes", word, pieces_text(o.momentum, 1), o.iterations);
  }
  return word;
}

std::string rate_text(const Schedule& s) {
  switch (s.kind) {
    case ScheduleKind::constant:
      return number(s.rate);
    case ScheduleKind::steps:
      return pieces_text(s.pieces, s.rate);
    case ScheduleKind::exponential:
      return fmt::format("{} x {}^epoch", number(s.rate), number(s.decay));
    case ScheduleKind::inverse:
      return fmt::format("{} x (1 + {} x step)^-{}", number(s.rate), number(s.gamma), number(s.power));
    case ScheduleKind::one_cycle:
      return fmt::format("one cycle: {} up to {} in {} % of the steps, then down to {}",
                         number(s.rate / s.start_divisor), number(s.rate), number(100 * s.warmup),
                         number(s.rate / s.start_divisor / s.end_divisor));
    case ScheduleKind::cosine:
      return fmt::format("cosine: {} down to {}", number(s.rate), number(s.rate * s.end));
    case ScheduleKind::linear:
      if (s.warmup == 0) return fmt::format("linear: {} down to {}", number(s.rate), number(s.rate * s.end));
      return fmt::format("linear: {} up to {} in {} % of the steps, then down to {}",
                         number(s.rate * s.start), number(s.rate), number(100 * s.warmup),
                         number(s.rate * s.end));
  }
  return "";
}

// "muon, momentum 0.6, 3 passes, of conv1 conv2 dense1, rate 0.4"
std::string group_text(const OptimizerGroup& group, float rate) {
  std::string layers;
  for (const std::string& layer : group.layers) layers += " " + layer;
  return fmt::format("{}, of{}, rate {}", optimizer_text(group.optimizer), layers,
                     number(rate * group.rate_factor));
}

std::string loss_text(const Recipe& recipe) {
  std::string text = "cross-entropy";
  if (recipe.label_smoothing > 0)
    text += fmt::format(", labels smoothed by {}", number(recipe.label_smoothing));
  if (recipe.logit_scale != 1) text += fmt::format(", logits x {}", number(recipe.logit_scale));
  return text;
}

// "the hardest 35 % of a batch are backpropagated, from 25 % of the steps on"
std::string keep_text(const Selection& keep) {
  const std::string start =
      keep.from > 0 ? fmt::format(", from {} % of the steps on", number(100 * keep.from)) : "";
  return fmt::format("the hardest {} % of a batch are backpropagated{}", number(100 * keep.fraction), start);
}

std::string decay_text(const Recipe& recipe) {
  return fmt::format("{}, of the weights{} of {}", number(recipe.weight_decay),
                     recipe.decay_biases ? " and biases" : "",
                     recipe.decay_dense_only ? "dense layers" : "conv and dense layers");
}

std::string batch_text(const Recipe& recipe, int batch) {
  const char* end = recipe.last_batch == LastBatch::mask   ? "a short last batch is masked"
                    : recipe.last_batch == LastBatch::drop ? "a short last batch is dropped"
                                                           : "a last batch goes on into the next pass";
  const std::string own = batch == recipe.batch ? "" : fmt::format(" (the recipe's own: {})", recipe.batch);
  return fmt::format("{}{}, order {}, {}", batch, own, order_word(recipe.order), end);
}

std::string names(const std::vector<Precision>& precisions) {
  std::string text;
  for (const Precision precision : precisions) {
    if (!text.empty()) text += ", ";
    text += precision_name(precision);
  }
  return text;
}

// "on a CPU bf16, on a GPU bf16, tf32"; empty: none.
std::string precisions_text(const RecipePrecisions& precisions) {
  std::string text;
  if (!precisions.cpu.empty()) text = "on a CPU " + names(precisions.cpu);
  if (!precisions.cuda.empty()) text += (text.empty() ? "on a GPU " : ", on a GPU ") + names(precisions.cuda);
  return text;
}

std::string length_text(const Recipe& recipe) {
  if (recipe.steps) return grouped(static_cast<std::uint64_t>(*recipe.steps)) + " steps";
  const int epochs = recipe.epochs.value_or(0);
  return fmt::format("{} {}", grouped(static_cast<std::uint64_t>(epochs)), epochs == 1 ? "epoch" : "epochs");
}

}  // namespace

// 1234567 as "1,234,567".
std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string recipe_text(const Plan& plan, const Spec& spec) {
  const Recipe& recipe = spec.recipe;
  std::string text = line("input", input_text(recipe.input));
  text += line("start", starts_text(plan, spec));
  for (const OptimizerGroup& group : recipe.groups)
    text += line("optimizer", group_text(group, recipe.schedule.rate));
  text += line(recipe.groups.empty() ? "optimizer" : "  the rest", optimizer_text(recipe.optimizer));
  std::string rate = rate_text(recipe.schedule);
  if (recipe.bias_rate_factor != 1) rate += fmt::format("; biases x {}", number(recipe.bias_rate_factor));
  text += line("rate", rate);
  if (recipe.label_smoothing > 0 || recipe.logit_scale != 1) text += line("loss", loss_text(recipe));
  if (recipe.keep.selects()) text += line("keep", keep_text(recipe.keep));
  if (recipe.weight_decay > 0) text += line("decay", decay_text(recipe));
  text += line("batch", batch_text(recipe, plan.input.batch));
  text += line("length", length_text(recipe));
  if (const std::string precisions = precisions_text(recipe.precisions); !precisions.empty())
    text += line("precisions", "as good as fp32: " + precisions);
  if (recipe.hold_out_first > 0) {
    text += line("held out", fmt::format("the first {} training images",
                                         grouped(static_cast<std::uint64_t>(recipe.hold_out_first))));
  }
  if (recipe.report_test_first > 0) {
    text += line("reports", fmt::format("the accuracy on the first {} test images too, as the sample did",
                                        grouped(static_cast<std::uint64_t>(recipe.report_test_first))));
  }
  return text;
}

}  // namespace trainer
