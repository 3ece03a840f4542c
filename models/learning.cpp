// How a network learns, from YAML and to JSON and text: optimisers, their groups, schedules. Each kind is a row of a table with
// its word and settings; all reading and writing of a kind uses its row.
#include <algorithm>
#include <fmt/format.h>

#include "models/recipe.hpp"

namespace trainer {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostGroups = kMostOptimizers - 1;  // in addition to the recipe's own optimiser

// A kind of optimiser or schedule.
template <typename T>
struct KindRow {
  const char* word;
  Settings<T> settings;
};

// Reads `{0: 0.1, 5: 0.9}`: values, each with the first epoch in which it is in force.
Pieces read_pieces(const YamlNode& node, const std::string& what, NumberRange range) {
  if (node.kind != YamlKind::map) fail(node.place, what + " must be a map of epochs, like {0: 1, 10: 0.5}");
  if (node.keys.empty() || node.keys.size() > Pieces::kMost) {
    fail(node.place,
         fmt::format("{} must have 1 to {} epochs, not {}", what, Pieces::kMost, node.keys.size()));
  }
  Pieces pieces;
  std::int64_t earliest = 0;
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const YamlNode key{YamlKind::word, node.keys[i].place, node.keys[i].word, {}, {}};
    const std::int64_t from = read_whole(key, what + ": an epoch", {earliest, i == 0 ? 0 : kMostEpochs});
    pieces.from[i] = static_cast<std::uint32_t>(from);
    pieces.value[i] = read_number(node.items[i], fmt::format("{} from epoch {}", what, from), range);
    earliest = from + 1;
  }
  pieces.count = static_cast<int>(node.keys.size());
  return pieces;
}

// Reads one number for all epochs, or numbers by epoch; 0 alone means no momentum.
Pieces read_momentum(const YamlNode& node, const std::string& what) {
  if (node.kind == YamlKind::map) return read_pieces(node, what, kFraction);
  Pieces pieces;
  pieces.value[0] = static_cast<float>(read_number(node, what, kFraction));
  pieces.count = pieces.value[0] > 0 ? 1 : 0;
  return pieces;
}

Json to_json(const Pieces& pieces) {
  Json json = Json::object();
  for (int i = 0; i < pieces.count; ++i) json[std::to_string(pieces.from[i])] = plain(pieces.value[i]);
  return json;
}

// The rows are in the order of OptimizerKind.
const std::vector<KindRow<Optimizer>>& optimizers() {
  static const Setting<Optimizer> momentum{"momentum",
                                           [](const MapReader& map, Optimizer& to) {
                                             to.momentum = read_momentum(map.require("momentum"),
                                                                         map.name_of("momentum"));
                                           },
                                           [](const Optimizer& from) { return to_json(from.momentum); }};
  static const auto epsilon = setting("epsilon", &Optimizer::epsilon, NumberRange{1e-30, 1});
  static const Settings<Optimizer> adam{setting("beta1", &Optimizer::beta1, kFraction),
                                        setting("beta2", &Optimizer::beta2, kFraction), epsilon};
  static const std::vector<KindRow<Optimizer>> kinds{
      {"sgd",
       {momentum, setting("nesterov", &Optimizer::nesterov), setting("unit_gain", &Optimizer::dampening)}},
      {"adam", adam},
      {"adamw", adam},
      {"adadelta", {setting("rho", &Optimizer::rho, kFraction), epsilon}},
      {"muon", {momentum, setting("passes", &Optimizer::iterations, WholeRange{1, 100})}}};
  return kinds;
}

// The rows are in the order of ScheduleKind.
const std::vector<KindRow<Schedule>>& schedules() {
  static const NumberRange factor{0, 1};
  static const NumberRange divisor{1, 1e12};
  static const NumberRange decay{.low = 0, .high = 1, .open_low = true};
  static const auto end = setting("end", &Schedule::end, factor);
  static const std::vector<KindRow<Schedule>> kinds{
      {"constant", {}},
      {"steps", {}},  // it has factors by epoch instead of settings
      {"exponential", {required(setting("decay", &Schedule::decay, decay))}},
      {"inverse",
       {required(setting("gamma", &Schedule::gamma, NumberRange{0, 1e6})),
        required(setting("power", &Schedule::power, NumberRange{0, 100}))}},
      {"one_cycle",
       {setting("warmup", &Schedule::warmup, factor),
        setting("start_divisor", &Schedule::start_divisor, divisor),
        setting("end_divisor", &Schedule::end_divisor, divisor)}},
      {"cosine", {end}},
      {"linear",
       {setting("warmup", &Schedule::warmup, kFraction), setting("start", &Schedule::start, factor), end}}};
  return kinds;
}

template <typename T>
const KindRow<T>& row_of(const std::vector<KindRow<T>>& kinds, auto kind) {
  return kinds.at(static_cast<std::size_t>(kind));
}

template <typename T>
Words words_of(const std::vector<KindRow<T>>& kinds) {
  Words words;
  for (const KindRow<T>& kind : kinds) words.emplace_back(kind.word);
  return words;
}

template <typename T>
void read_kind(const YamlTagged& tagged, const KindRow<T>& kind, T& to) {
  read_settings(MapReader(tagged, keys_of(kind.settings)), kind.settings, to);
}

template <typename T>
Json kind_json(const KindRow<T>& kind, const T& from) {
  if (kind.settings.empty()) return kind.word;
  return {{kind.word, settings_json(kind.settings, from)}};
}

Optimizer read_optimizer(const YamlNode& node) {
  const YamlTagged tagged = read_tagged(node, "optimizer", words_of(optimizers()));
  Optimizer optimizer = *optimizer_named(tagged.word);
  read_kind(tagged, row_of(optimizers(), optimizer.kind), optimizer);
  if (optimizer.momentum.count == 0 && (optimizer.nesterov || optimizer.dampening)) {
    fail(tagged.place,
         fmt::format("sgd: {} needs 'momentum'", optimizer.nesterov ? "nesterov" : "unit_gain"));
  }
  return optimizer;
}

OptimizerGroup read_group(const YamlNode& node, double rate, const std::vector<OptimizerGroup>& earlier) {
  const MapReader map(node, "groups", {"weights", "optimizer", "rate"});
  OptimizerGroup group;
  group.place = node.place;
  const YamlNode& weights = map.require("weights");
  if (weights.kind != YamlKind::list || weights.items.empty())
    fail(weights.place, "groups: weights must be a list of layers, like [conv1, dense1]");
  for (const YamlNode& item : weights.items) {
    group.layers.push_back(read_text(item, "groups: a layer"));
    const auto has_it = [&](const OptimizerGroup& g) {
      return std::find(g.layers.begin(), g.layers.end(), group.layers.back()) != g.layers.end();
    };
    if (std::any_of(earlier.begin(), earlier.end(), has_it))
      fail(item.place, fmt::format("groups: '{}' is in two groups", group.layers.back()));
  }
  group.optimizer = read_optimizer(map.require("optimizer"));
  double own = rate;
  map.read("rate", own, kPositive);
  group.rate_factor = own / rate;
  return group;
}

}  // namespace

Optimizer read_main_optimizer(const YamlNode& node) {
  const Optimizer optimizer = read_optimizer(node);
  if (takes_matrices(optimizer)) {
    fail(node.place, fmt::format("optimizer: {} takes weights alone, and a network has more parameters; name "
                                 "the layers under `groups`, and here the optimiser of the rest",
                                 optimizer_word(optimizer.kind)));
  }
  return optimizer;
}

std::vector<OptimizerGroup> read_groups(const YamlNode& node, double rate) {
  if (node.kind != YamlKind::list) fail(node.place, "groups must be a list with a group a line");
  if (node.items.size() > kMostGroups) {
    fail(node.items[kMostGroups].place,
         fmt::format("{} groups; a recipe has at most {}", node.items.size(), kMostGroups));
  }
  std::vector<OptimizerGroup> groups;
  for (const YamlNode& item : node.items) groups.push_back(read_group(item, rate, groups));
  return groups;
}

void read_schedule(const YamlNode& node, Schedule& schedule) {
  const YamlTagged tagged = read_tagged(node, "schedule", words_of(schedules()));
  schedule.kind = static_cast<ScheduleKind>(tagged.index);
  if (schedule.kind == ScheduleKind::steps) {
    if (tagged.arguments == nullptr) fail(tagged.place, "steps needs its epochs, like {0: 1, 10: 0.5}");
    schedule.pieces = read_pieces(*tagged.arguments, "steps", {0, 1e6});
    return;
  }
  if (schedule.kind == ScheduleKind::linear) schedule.warmup = 0;
  read_kind(tagged, row_of(schedules(), schedule.kind), schedule);
}

Json to_json(const Optimizer& optimizer) {
  return kind_json(row_of(optimizers(), optimizer.kind), optimizer);
}

Json to_json(const OptimizerGroup& group) {
  return {
      {"weights", group.layers}, {"optimizer", to_json(group.optimizer)}, {"rate_factor", group.rate_factor}};
}

Json to_json(const Schedule& schedule) {
  if (schedule.kind == ScheduleKind::steps) return {{"steps", to_json(schedule.pieces)}};
  return kind_json(row_of(schedules(), schedule.kind), schedule);
}

std::string optimizer_text(const Optimizer& optimizer) {
  const KindRow<Optimizer>& kind = row_of(optimizers(), optimizer.kind);
  std::string text = kind.word;
  const Json settings = settings_json(kind.settings, optimizer);
  for (const auto& [key, value] : settings.items()) {
    if (value.is_boolean()) {
      text += value.get<bool>() ? ", " + (key == "unit_gain" ? "unit gain" : key) : "";
    } else if (value.is_object()) {
      text += value.empty() ? "" : fmt::format(", {} {}", key, pieces_text(optimizer.momentum, 1));
    } else {
      text += value.is_number_float() ? fmt::format(", {} {}", key, number_text(value))
                                      : fmt::format(", {} {}", value.get<int>(), key);
    }
  }
  return text;
}

std::optional<Optimizer> optimizer_named(std::string_view word) {
  const Words words = words_of(optimizers());
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end()) return std::nullopt;
  Optimizer optimizer;
  optimizer.kind = static_cast<OptimizerKind>(found - words.begin());
  if (optimizer.kind == OptimizerKind::adadelta) optimizer.epsilon = 1e-6F;
  return optimizer;
}

std::vector<Optimizer> optimizers_of(const Recipe& recipe) {
  std::vector<Optimizer> all{recipe.optimizer};
  for (const OptimizerGroup& group : recipe.groups) all.push_back(group.optimizer);
  return all;
}

const char* optimizer_word(OptimizerKind kind) {
  return row_of(optimizers(), kind).word;
}

}  // namespace trainer
