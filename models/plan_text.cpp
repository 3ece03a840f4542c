// The plan as a table with one line per layer, for people, and as JSON, for programs; its keys keep the order in which they are
// written here.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "models/plan.hpp"
#include "models/recipe.hpp"
#include "models/yaml_reader.hpp"

namespace trainer {

namespace {

using Json = nlohmann::ordered_json;

constexpr double kImagesOfMnist = 60000;

std::string bytes_text(std::uint64_t bytes) {
  const double kib = static_cast<double>(bytes) / 1024;
  if (kib < 1024) return fmt::format("{:.1f} KiB", kib);
  return kib < 1024 * 1024 ? fmt::format("{:.1f} MiB", kib / 1024)
                           : fmt::format("{:.1f} GiB", kib / 1024 / 1024);
}

std::string shape_text(const Shape& shape) {
  return fmt::format("{}x{}x{}", shape.h, shape.w, shape.c);
}

std::string megaflop(std::uint64_t flops) {
  return fmt::format("{:.3f}", static_cast<double>(flops) / 1e6);
}

std::string table_row(std::string_view name, std::string_view layer, std::string_view out,
                      std::string_view parameters, std::string_view flops, std::string_view bytes) {
  std::string line =
      fmt::format("  {:<11} {:<34} {:>14} {:>13} {:>9} {:>11}", name, layer, out, parameters, flops, bytes);
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string layer_row(const PlannedLayer& layer) {
  return table_row(layer.name, layer.text, shape_text(layer.out),
                   layer.parameters > 0 ? grouped(layer.parameters) : "",
                   layer.forward_flops > 0 ? megaflop(layer.forward_flops) : "",
                   layer.activation_bytes > 0 ? bytes_text(layer.activation_bytes) : "fused");
}

Json to_json(const PlannedLayer& layer) {
  return {{"name", layer.name},
          {"layer", layer.text},
          {"out", {layer.out.h, layer.out.w, layer.out.c}},
          {"parameters", layer.parameters},
          {"forward_flops", layer.forward_flops},
          {"backward_flops", layer.backward_flops},
          {"activation_bytes", layer.activation_bytes}};
}

// A word that is a number, or true or false, in JSON too becomes one.
Json to_json(const YamlNode& node) {
  Json json;
  if (node.kind == YamlKind::word) {
    json = Json::parse(node.word, nullptr, false);
    if (!json.is_number() && !json.is_boolean()) json = node.word;
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    if (node.kind == YamlKind::map) json[node.keys[i].word] = to_json(node.items[i]);
    if (node.kind == YamlKind::list) json.push_back(to_json(node.items[i]));
  }
  return json;
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

std::string plan_table(const Plan& plan, const Spec& spec) {
  const auto& [image, classes, batch] = plan.input;
  std::string text = plan.model + (spec.about.empty() ? "" : ": " + spec.about) + "\n";
  if (!spec.source.empty()) text += fmt::format("from {}\n", spec.source);
  text += fmt::format("{}x{}x{} images, {} classes, batch {}\n\n", image.h, image.w, image.c, classes, batch);
  text += table_row("", "layer", "out [h, w, c]", "parameters", "MFLOP", "activations");
  text += table_row("input", plan.shown == image ? "" : "its centre", shape_text(plan.shown), "", "",
                    bytes_text(sizeof(float) * static_cast<std::uint64_t>(batch) * plan.shown.size()));
  for (const PlannedLayer& layer : plan.layers) text += layer_row(layer);
  text += table_row("total", "", "", grouped(plan.parameters), megaflop(plan.forward_flops),
                    bytes_text(plan.activation_bytes));
  text += fmt::format(
      "\n  MFLOP: one image forward; {} forward and backward, {:.3f} TFLOP for 60,000 images\n"
      "  activations: the whole batch in fp32; fused: computed on the way, never stored\n\n",
      megaflop(plan.training_flops), static_cast<double>(plan.training_flops) * kImagesOfMnist / 1e12);
  return text + recipe_text(plan, spec);
}

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

Json file_json(const Spec& spec) {
  return to_json(parse_yaml(spec.text, spec.name));
}

}  // namespace trainer
