// Reads the recipe from YAML and writes it as JSON: a table with one row per key, in the order of the JSON. The ranges
// keep every number within those of a float.
#include "models/recipe.hpp"

#include <fmt/format.h>
#include <limits>

namespace trainer {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kMostSteps = 1'000'000'000'000;
constexpr NumberRange kDecay{0, 1e6};
constexpr double kUsualAverage = 0.999;
constexpr WholeRange kImages{0, std::numeric_limits<std::int32_t>::max()};

// These words are in the order of their enumerations.
const Words kInitializerWords{"zeros",          "constant", "uniform_fan_in",  "xavier_uniform",
                              "glorot_uniform", "normal",   "truncated_normal"};
const Words kOrderWords{"fixed", "shuffled"};
const Words kLastBatchWords{"mask", "drop", "wrap"};

void read_initialize(const YamlNode& node, Recipe& recipe) {
  const MapReader map(node, "initialize", {"weights", "biases"});
  if (const YamlNode* weights = map.find("weights"))
    recipe.weights = read_initialization(*weights, map.name_of("weights"));
  if (const YamlNode* biases = map.find("biases"))
    recipe.biases = read_initialization(*biases, map.name_of("biases"));
}

const Settings<Recipe>& decay_settings() {
  static const Settings<Recipe> settings{required(setting("amount", &Recipe::weight_decay, kDecay)),
                                         word_setting("layers", &Recipe::decay_dense_only, {"all", "dense"}),
                                         setting("biases", &Recipe::decay_biases)};
  return settings;
}

// A plain number is the amount.
void read_weight_decay(const YamlNode& node, Recipe& recipe) {
  if (node.kind == YamlKind::map) {
    const MapReader map(node, "weight_decay", keys_of(decay_settings()));
    return read_settings(map, decay_settings(), recipe);
  }
  recipe.weight_decay = read_number(node, "recipe: weight_decay", kDecay);
}

const Settings<Selection>& keep_settings() {
  static const NumberRange share{.low = 0, .high = 1, .open_low = true, .open_high = true};
  static const Settings<Selection> settings{required(setting("share", &Selection::fraction, share)),
                                            setting("from", &Selection::from, kFraction)};
  return settings;
}

Selection read_keep(const YamlNode& node) {
  Selection keep;
  read_settings(MapReader(node, "keep", keys_of(keep_settings())), keep_settings(), keep);
  return keep;
}

Json to_json(const Selection& keep) {
  return keep.selects() ? settings_json(keep_settings(), keep) : Json();
}

RecipePrecisions read_precisions(const YamlNode& node) {
  const MapReader map(node, "precisions", {"cpu", "cuda"});
  const auto read = [&](const char* engine, const Words& words) {
    std::vector<Precision> precisions;
    const YamlNode* list = map.find(engine);
    if (list == nullptr) return precisions;
    const std::string what = map.name_of(engine);
    if (list->kind != YamlKind::list) fail(list->place, what + " must be a list, like [bf16]");
    for (const YamlNode& item : list->items)
      precisions.push_back(*precision_named(words.at(read_word(item, what, words))));
    return precisions;
  };
  return {read("cpu", {"bf16"}), read("cuda", {"bf16", "fp16", "tf32"})};
}

Json to_json(const RecipePrecisions& precisions) {
  const auto names = [](const std::vector<Precision>& all) {
    Json json = Json::array();
    for (const Precision precision : all) json.push_back(precision_name(precision));
    return json;
  };
  return {{"cpu", names(precisions.cpu)}, {"cuda", names(precisions.cuda)}};
}

template <typename Part>
Setting<Recipe> part(const char* key, Part Recipe::*member, Part (*read)(const YamlNode& node)) {
  return {key, [=](const MapReader& map, Recipe& recipe) { recipe.*member = read(map.require(key)); },
          [=](const Recipe& recipe) { return to_json(recipe.*member); }};
}

// A number that the JSON leaves out if it is the default.
Setting<Recipe> unless_default(const char* key, double Recipe::*member, NumberRange range) {
  Setting<Recipe> row = setting(key, member, range);
  row.json = [=](const Recipe& recipe) {
    return recipe.*member == Recipe().*member ? Json() : Json(recipe.*member);
  };
  return row;
}

// The length of a run: `epochs` or `steps`.
template <typename T>
Setting<Recipe> length_setting(const char* key, std::optional<T> Recipe::*member, WholeRange range) {
  return {key,
          [=](const MapReader& map, Recipe& recipe) {
            recipe.*member = static_cast<T>(read_whole(map.require(key), map.name_of(key), range));
          },
          [=](const Recipe& recipe) { return recipe.*member ? Json(*(recipe.*member)) : Json(); }};
}

void read_average(const MapReader& map, Recipe& recipe) {
  const YamlTagged tagged = read_tagged(map.require("weights"), map.name_of("weights"), {"ema"});
  recipe.average = kUsualAverage;
  if (tagged.arguments != nullptr)
    recipe.average = read_number(*tagged.arguments, "recipe: weights: ema", kFraction);
  if (static_cast<float>(*recipe.average) >= 1)
    fail(tagged.arguments->place,
         "recipe: weights: ema rounds to 1, with which nothing moves; give at most 0.9999999");
}

void read_views(const MapReader& map, Recipe& recipe) {
  map.read("views", recipe.views, {1, 5});
  if (recipe.views != 1 && recipe.views != 5)
    fail(map.require("views").place,
         "recipe: views must be 1 or 5: the image and its four shifts by a pixel");
}

const Settings<Recipe>& recipe_settings() {
  static const Settings<Recipe> settings{
      part("input", &Recipe::input, read_input),
      {"initialize", [](const MapReader& map, Recipe& r) { read_initialize(map.require("initialize"), r); },
       [](const Recipe& r) {
         return Json{{"weights", to_json(r.weights)}, {"biases", to_json(r.biases)}};
       }},
      required(part("optimizer", &Recipe::optimizer, read_main_optimizer)),
      {"rate", [](const MapReader& map, Recipe& r) { map.read("rate", r.schedule.rate, kPositive); },
       [](const Recipe& r) { return plain(r.schedule.rate); }, true},
      setting("bias_rate_factor", &Recipe::bias_rate_factor, NumberRange{0, 1e6}),
      {"schedule",
       [](const MapReader& map, Recipe& r) { read_schedule(map.require("schedule"), r.schedule); },
       [](const Recipe& r) { return to_json(r.schedule); }},
      {"weight_decay",
       [](const MapReader& map, Recipe& r) { read_weight_decay(map.require("weight_decay"), r); },
       [](const Recipe& r) { return settings_json(decay_settings(), r); }},
      unless_default("clip_norm", &Recipe::clip_norm, kPositive),
      required(setting("batch", &Recipe::batch, WholeRange{1, 1 << 16})),
      {"groups",
       [](const MapReader& map, Recipe& r) {
         r.groups =
             read_groups(map.require("groups"), read_number(map.require("rate"), "recipe: rate", kPositive));
       },
       [](const Recipe& r) {
         Json groups = r.groups.empty() ? Json() : Json::array();
         for (const OptimizerGroup& group : r.groups) groups.push_back(to_json(group));
         return groups;
       }},
      unless_default("label_smoothing", &Recipe::label_smoothing, kFraction),
      unless_default("logit_scale", &Recipe::logit_scale, kPositive),
      part("keep", &Recipe::keep, read_keep),
      length_setting("epochs", &Recipe::epochs, {1, kMostEpochs}),
      length_setting("steps", &Recipe::steps, {1, kMostSteps}),
      word_setting("order", &Recipe::order, kOrderWords),
      word_setting("last_batch", &Recipe::last_batch, kLastBatchWords),
      {"weights", read_average,
       [](const Recipe& r) {
         return r.average ? Json{{"ema", *r.average}} : Json();
       }},
      part("precisions", &Recipe::precisions, read_precisions),
      setting("hold_out_first", &Recipe::hold_out_first, kImages),
      {"views", read_views, [](const Recipe& r) { return r.views > 1 ? Json(r.views) : Json(); }},
      setting("report_test_first", &Recipe::report_test_first, kImages)};
  return settings;
}

void check_length(const MapReader& map) {
  const YamlNode* steps = map.find("steps");
  if (map.find("epochs") != nullptr && steps != nullptr)
    fail(steps->place, "recipe: both 'epochs' and 'steps'; a run's length is one of them");
  if (map.find("epochs") == nullptr && steps == nullptr)
    fail(map.place(), "recipe needs its length: 'epochs' or 'steps'");
}

}  // namespace

Recipe read_recipe(const YamlNode& node) {
  const MapReader map(node, "recipe", keys_of(recipe_settings()));
  Recipe recipe;
  read_settings(map, recipe_settings(), recipe);
  check_length(map);
  return recipe;
}

Json recipe_json(const Recipe& recipe) {
  return settings_json(recipe_settings(), recipe);
}

Initialization read_initialization(const YamlNode& node, const std::string& what) {
  const YamlTagged tagged = read_tagged(node, what, kInitializerWords);
  Initialization start;
  start.kind = static_cast<Initializer>(tagged.index);
  const bool constant = start.kind == Initializer::constant;
  const bool has_number =
      constant || start.kind == Initializer::normal || start.kind == Initializer::truncated_normal;
  if (has_number != (tagged.arguments != nullptr)) {
    fail(tagged.place,
         has_number ? fmt::format("{}: {} needs a number, like {{{}: 0.1}}", what, tagged.word, tagged.word)
                    : fmt::format("{}: {} has no settings", what, tagged.word));
  }
  if (!has_number) return start;
  const NumberRange range = constant ? NumberRange{-1e6, 1e6} : NumberRange{1e-30, 1e6};
  (constant ? start.value : start.deviation) =
      read_number(*tagged.arguments, fmt::format("{}: {}", what, tagged.word), range);
  return start;
}

Json to_json(const Initialization& start) {
  const char* word = initializer_word(start.kind);
  if (start.kind == Initializer::constant) return {{word, start.value}};
  const bool normal = start.kind == Initializer::normal || start.kind == Initializer::truncated_normal;
  return normal ? Json{{word, start.deviation}} : Json(word);
}

const char* initializer_word(Initializer kind) {
  return kInitializerWords.at(static_cast<std::size_t>(kind)).c_str();
}

const char* order_word(Order order) {
  return kOrderWords.at(static_cast<std::size_t>(order)).c_str();
}

}  // namespace trainer
