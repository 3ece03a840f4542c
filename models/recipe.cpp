// The recipe from YAML: input scaling, initialisation, optimiser, schedule, batch, length, order. Ranges keep
// every number inside what a float holds.
#include "models/recipe.hpp"

#include <fmt/format.h>
#include <limits>

namespace trainer {

namespace {

constexpr int kMostBatch = 1 << 16;
constexpr std::int64_t kMostSteps = 1'000'000'000'000;

// In the order of their enumerations.
const Words& schedule_words() {
  static const Words words{"constant", "steps", "exponential", "inverse", "one_cycle", "cosine", "linear"};
  return words;
}

const Words& order_words() {
  static const Words words{"fixed", "shuffled"};
  return words;
}

const Words& last_batch_words() {
  static const Words words{"mask", "drop", "wrap"};
  return words;
}

InputScaling read_input(const YamlNode& node) {
  const MapReader map(node, "input", {"scale", "mean", "deviation", "normalize", "crop"});
  InputScaling input;
  if (const YamlNode* normalize = map.find("normalize")) {
    read_word(*normalize, map.name_of("normalize"), {"data"});
    if (map.find("scale") != nullptr || map.find("mean") != nullptr || map.find("deviation") != nullptr) {
      fail(normalize->place,
           "input: `normalize: data` stands without scale, mean and deviation, which follow from it");
    }
    input.from_data = true;
  }
  map.read("scale", input.scale, kPositive);
  map.read("mean", input.mean, {-1e6, 1e6});
  map.read("deviation", input.deviation, kPositive);
  map.read("crop", input.crop, {1, 1 << 16});
  return input;
}

void read_one_cycle(const YamlTagged& tagged, Schedule& schedule) {
  const MapReader map(tagged, {"warmup", "start_divisor", "end_divisor"});
  map.read("warmup", schedule.warmup, {0, 1});
  map.read("start_divisor", schedule.start_divisor, {1, 1e12});
  map.read("end_divisor", schedule.end_divisor, {1, 1e12});
}

void read_schedule(const YamlNode& node, Schedule& schedule) {
  const YamlTagged tagged = read_tagged(node, "schedule", schedule_words());
  schedule.kind = static_cast<ScheduleKind>(tagged.index);
  switch (schedule.kind) {
    case ScheduleKind::constant:
      MapReader(tagged, {});
      break;
    case ScheduleKind::steps:
      if (tagged.arguments == nullptr) fail(tagged.place, "steps needs its epochs, like {0: 1, 10: 0.5}");
      schedule.pieces = read_pieces(*tagged.arguments, "steps", {0, 1e6});
      break;
    case ScheduleKind::exponential: {
      const MapReader map(tagged, {"decay"});
      map.require("decay");
      map.read("decay", schedule.decay, {.low = 0, .high = 1, .open_low = true});
      break;
    }
    case ScheduleKind::inverse: {
      const MapReader map(tagged, {"gamma", "power"});
      map.require("gamma");
      map.require("power");
      map.read("gamma", schedule.gamma, {0, 1e6});
      map.read("power", schedule.power, {0, 100});
      break;
    }
    case ScheduleKind::one_cycle:
      read_one_cycle(tagged, schedule);
      break;
    case ScheduleKind::cosine:
      MapReader(tagged, {"end"}).read("end", schedule.end, {0, 1});
      break;
    case ScheduleKind::linear: {
      const MapReader map(tagged, {"warmup", "start", "end"});
      schedule.warmup = 0;
      map.read("warmup", schedule.warmup, kFraction);
      map.read("start", schedule.start, {0, 1});
      map.read("end", schedule.end, {0, 1});
      break;
    }
  }
}

Selection read_keep(const YamlNode& node) {
  const MapReader map(node, "keep", {"share", "from"});
  Selection keep;
  map.require("share");
  map.read("share", keep.fraction, {.low = 0, .high = 1, .open_low = true, .open_high = true});
  map.read("from", keep.from, kFraction);
  return keep;
}

void read_weight_decay(const YamlNode& node, Recipe& recipe) {
  constexpr NumberRange kDecay{0, 1e6};
  if (node.kind != YamlKind::map) {
    recipe.weight_decay = read_number(node, "recipe: weight_decay", kDecay);
    return;
  }
  const MapReader map(node, "weight_decay", {"amount", "layers", "biases"});
  map.require("amount");
  map.read("amount", recipe.weight_decay, kDecay);
  map.read("biases", recipe.decay_biases);
  if (const YamlNode* layers = map.find("layers")) {
    recipe.decay_dense_only = read_word(*layers, map.name_of("layers"), {"all", "dense"}) == 1;
  }
}

void read_length(const MapReader& map, Recipe& recipe) {
  const YamlNode* epochs = map.find("epochs");
  const YamlNode* steps = map.find("steps");
  if (epochs != nullptr && steps != nullptr) {
    fail(steps->place, "recipe: both 'epochs' and 'steps'; a run's length is one of them");
  }
  if (epochs == nullptr && steps == nullptr) {
    fail(map.place(), "recipe needs its length: 'epochs' or 'steps'");
  }
  if (epochs != nullptr) {
    recipe.epochs = static_cast<int>(read_whole(*epochs, map.name_of("epochs"), {1, kMostEpochs}));
  } else {
    recipe.steps = read_whole(*steps, map.name_of("steps"), {1, kMostSteps});
  }
}

std::vector<Precision> read_precisions(const YamlNode& node, const std::string& what, const Words& words) {
  if (node.kind != YamlKind::list) fail(node.place, what + " must be a list, like [bf16]");
  std::vector<Precision> precisions;
  for (const YamlNode& item : node.items)
    precisions.push_back(*precision_named(words.at(read_word(item, what, words))));
  return precisions;
}

RecipePrecisions read_precisions(const YamlNode& node) {
  const MapReader map(node, "precisions", {"cpu", "cuda"});
  RecipePrecisions precisions;
  if (const YamlNode* cpu = map.find("cpu"))
    precisions.cpu = read_precisions(*cpu, map.name_of("cpu"), {"bf16"});
  if (const YamlNode* cuda = map.find("cuda")) {
    precisions.cuda = read_precisions(*cuda, map.name_of("cuda"), {"bf16", "fp16", "tf32"});
  }
  return precisions;
}

void read_data_order(const MapReader& map, Recipe& recipe) {
  constexpr WholeRange kImages{0, std::numeric_limits<std::int32_t>::max()};
  if (const YamlNode* node = map.find("order")) {
    recipe.order = static_cast<Order>(read_word(*node, map.name_of("order"), order_words()));
  }
  if (const YamlNode* node = map.find("last_batch")) {
    recipe.last_batch =
        static_cast<LastBatch>(read_word(*node, map.name_of("last_batch"), last_batch_words()));
  }
  map.read("hold_out_first", recipe.hold_out_first, kImages);
  map.read("report_test_first", recipe.report_test_first, kImages);
}

}  // namespace

Recipe read_recipe(const YamlNode& node) {
  const MapReader map(
      node, "recipe",
      {"input", "initialize", "optimizer", "rate", "bias_rate_factor", "schedule", "weight_decay", "batch",
       "epochs", "steps", "order", "last_batch", "precisions", "hold_out_first", "report_test_first",
       "groups", "label_smoothing", "logit_scale", "keep"});
  Recipe recipe;
  if (const YamlNode* input = map.find("input")) recipe.input = read_input(*input);
  if (const YamlNode* initialize = map.find("initialize")) {
    const MapReader start(*initialize, "initialize", {"weights", "biases"});
    if (const YamlNode* weights = start.find("weights")) {
      recipe.weights = read_initialization(*weights, start.name_of("weights"));
    }
    if (const YamlNode* biases = start.find("biases")) {
      recipe.biases = read_initialization(*biases, start.name_of("biases"));
    }
  }
  recipe.optimizer = read_main_optimizer(map.require("optimizer"));
  map.require("rate");
  map.read("rate", recipe.schedule.rate, kPositive);
  if (const YamlNode* groups = map.find("groups")) {
    recipe.groups = read_groups(*groups, read_number(map.require("rate"), "recipe: rate", kPositive));
  }
  map.read("label_smoothing", recipe.label_smoothing, kFraction);
  map.read("logit_scale", recipe.logit_scale, kPositive);
  if (const YamlNode* keep = map.find("keep")) recipe.keep = read_keep(*keep);
  map.read("bias_rate_factor", recipe.bias_rate_factor, {0, 1e6});
  if (const YamlNode* schedule = map.find("schedule")) read_schedule(*schedule, recipe.schedule);
  if (const YamlNode* decay = map.find("weight_decay")) read_weight_decay(*decay, recipe);
  map.require("batch");
  map.read("batch", recipe.batch, {1, kMostBatch});
  read_length(map, recipe);
  read_data_order(map, recipe);
  if (const YamlNode* precisions = map.find("precisions")) recipe.precisions = read_precisions(*precisions);
  return recipe;
}

const char* order_word(Order order) {
  return order_words().at(static_cast<std::size_t>(order)).c_str();
}

const char* last_batch_word(LastBatch last_batch) {
  return last_batch_words().at(static_cast<std::size_t>(last_batch)).c_str();
}

}  // namespace trainer
