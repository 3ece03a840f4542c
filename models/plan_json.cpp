// The plan and the recipe as JSON for programs; keys stay in the order in which they are written here.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "models/plan.hpp"

namespace trainer {

namespace {

using Json = nlohmann::ordered_json;

// A float by its shortest decimal, so that 0.01F reads 0.01 and not 0.009999999776482582.
double plain(float value) {
  return std::stod(fmt::format("{}", value));
}

Json to_json(const Initialization& start) {
  const char* word = initializer_word(start.kind);
  if (start.kind == Initializer::constant) return {{word, start.value}};
  const bool normal = start.kind == Initializer::normal || start.kind == Initializer::truncated_normal;
  return normal ? Json{{word, start.deviation}} : Json(word);
}

Json to_json(const Pieces& pieces) {
  Json json = Json::object();
  for (int i = 0; i < pieces.count; ++i) json[std::to_string(pieces.from[i])] = plain(pieces.value[i]);
  return json;
}

Json to_json(const InputScaling& input) {
  Json json = input.from_data
                  ? Json{{"normalize", "data"}}
                  : Json{{"scale", input.scale}, {"mean", input.mean}, {"deviation", input.deviation}};
  if (input.crop > 0) json["crop"] = input.crop;
  return json;
}

Json to_json(const Optimizer& o) {
  const char* word = optimizer_word(o.kind);
  switch (o.kind) {
    case OptimizerKind::sgd:
      return {
          {word, {{"momentum", to_json(o.momentum)}, {"nesterov", o.nesterov}, {"unit_gain", o.dampening}}}};
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return {{word, {{"beta1", plain(o.beta1)}, {"beta2", plain(o.beta2)}, {"epsilon", plain(o.epsilon)}}}};
    case OptimizerKind::adadelta:
      return {{word, {{"rho", plain(o.rho)}, {"epsilon", plain(o.epsilon)}}}};
    case OptimizerKind::muon:
      return {{word, {{"momentum", to_json(o.momentum)}, {"passes", o.iterations}}}};
  }
  return word;
}

Json to_json(const Schedule& s) {
  switch (s.kind) {
    case ScheduleKind::constant:
      return "constant";
    case ScheduleKind::steps:
      return {{"steps", to_json(s.pieces)}};
    case ScheduleKind::exponential:
      return {{"exponential", {{"decay", plain(s.decay)}}}};
    case ScheduleKind::inverse:
      return {{"inverse", {{"gamma", plain(s.gamma)}, {"power", plain(s.power)}}}};
    case ScheduleKind::one_cycle:
      return {{"one_cycle",
               {{"warmup", plain(s.warmup)},
                {"start_divisor", plain(s.start_divisor)},
                {"end_divisor", plain(s.end_divisor)}}}};
    case ScheduleKind::cosine:
      return {{"cosine", {{"end", plain(s.end)}}}};
    case ScheduleKind::linear:
      return {{"linear", {{"warmup", plain(s.warmup)}, {"start", plain(s.start)}, {"end", plain(s.end)}}}};
  }
  return nullptr;
}

Json to_json(const OptimizerGroup& group) {
  return {
      {"weights", group.layers}, {"optimizer", to_json(group.optimizer)}, {"rate_factor", group.rate_factor}};
}

}  // namespace

Json recipe_json(const Recipe& recipe) {
  Json json{{"input", to_json(recipe.input)},
            {"initialize", {{"weights", to_json(recipe.weights)}, {"biases", to_json(recipe.biases)}}},
            {"optimizer", to_json(recipe.optimizer)},
            {"rate", plain(recipe.schedule.rate)},
            {"bias_rate_factor", recipe.bias_rate_factor},
            {"schedule", to_json(recipe.schedule)},
            {"weight_decay",
             {{"amount", recipe.weight_decay},
              {"layers", recipe.decay_dense_only ? "dense" : "all"},
              {"biases", recipe.decay_biases}}},
            {"batch", recipe.batch}};
  for (const OptimizerGroup& group : recipe.groups) json["groups"].push_back(to_json(group));
  if (recipe.label_smoothing > 0) json["label_smoothing"] = recipe.label_smoothing;
  if (recipe.logit_scale != 1) json["logit_scale"] = recipe.logit_scale;
  if (recipe.keep.selects()) json["keep"] = {{"share", recipe.keep.fraction}, {"from", recipe.keep.from}};
  if (recipe.epochs) json["epochs"] = *recipe.epochs;
  if (recipe.steps) json["steps"] = *recipe.steps;
  json["order"] = order_word(recipe.order);
  json["last_batch"] = last_batch_word(recipe.last_batch);
  for (const auto& [engine, precisions] :
       {std::pair{"cpu", recipe.precisions.cpu}, {"cuda", recipe.precisions.cuda}}) {
    json["precisions"][engine] = Json::array();
    for (const Precision precision : precisions)
      json["precisions"][engine].push_back(precision_name(precision));
  }
  json["hold_out_first"] = recipe.hold_out_first;
  json["report_test_first"] = recipe.report_test_first;
  return json;
}

namespace {

Json to_json(const PlannedLayer& layer) {
  return {{"name", layer.name},
          {"layer", layer.text},
          {"out", {layer.out.h, layer.out.w, layer.out.c}},
          {"parameters", layer.parameters},
          {"forward_flops", layer.forward_flops},
          {"backward_flops", layer.backward_flops},
          {"activation_bytes", layer.activation_bytes}};
}

Json to_json(const PlannedOp& op, const Plan& plan) {
  Json layers = Json::array();
  for (const int layer : op.layers) layers.push_back(plan.layers[static_cast<std::size_t>(layer)].name);
  Json parameters = Json::array();
  for (const PlannedParameter& parameter : op.parameters) {
    parameters.push_back({{"name", parameter.name},
                          {"shape", parameter.desc.shape},
                          {"start", to_json(parameter.initialization)},
                          {"rate_factor", plain(parameter.rate_factor)},
                          {"decay", plain(parameter.decay)}});
  }
  return {{"name", op.name}, {"op", describe(op.desc)}, {"layers", layers}, {"parameters", parameters}};
}

}  // namespace

Json plan_json(const Plan& plan, const Spec& spec) {
  const auto& [image, classes, batch] = plan.input;
  Json layers = Json::array();
  for (const PlannedLayer& layer : plan.layers) layers.push_back(to_json(layer));
  Json ops = Json::array();
  for (const PlannedOp& op : plan.ops) ops.push_back(to_json(op, plan));
  return {{"model", plan.model},
          {"about", spec.about},
          {"source", spec.source},
          {"input",
           {{"height", image.h},
            {"width", image.w},
            {"channels", image.c},
            {"classes", classes},
            {"batch", batch}}},
          {"layers", layers},
          {"ops", ops},
          {"parameters", plan.parameters},
          {"forward_flops", plan.forward_flops},
          {"training_flops", plan.training_flops},
          {"activation_bytes", plan.activation_bytes},
          {"recipe", recipe_json(spec.recipe)}};
}

}  // namespace trainer
