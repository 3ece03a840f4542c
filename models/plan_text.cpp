// The plan as text for people: a table with a line a layer, its totals, and the recipe.
#include <fmt/format.h>

#include "models/plan.hpp"
#include "models/recipe_text.hpp"

namespace trainer {

namespace {

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

// One row; every column has its place in one format string.
struct Row {
  std::string name;
  std::string layer;
  std::string out;
  std::string parameters;
  std::string flops;
  std::string bytes;

  std::string text() const {
    std::string line =
        fmt::format("  {:<11} {:<34} {:>14} {:>13} {:>9} {:>11}", name, layer, out, parameters, flops, bytes);
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
  }
};

std::string layer_row(const PlannedLayer& layer) {
  return Row{layer.name,
             layer.text,
             shape_text(layer.out),
             layer.parameters > 0 ? grouped(layer.parameters) : "",
             layer.forward_flops > 0 ? megaflop(layer.forward_flops) : "",
             layer.activation_bytes > 0 ? bytes_text(layer.activation_bytes) : "fused"}
      .text();
}

}  // namespace

std::string plan_table(const Plan& plan, const Spec& spec) {
  const auto& [image, classes, batch] = plan.input;
  std::string text = plan.model + (spec.about.empty() ? "" : ": " + spec.about) + "\n";
  if (!spec.source.empty()) text += fmt::format("from {}\n", spec.source);
  text += fmt::format("{}x{}x{} images, {} classes, batch {}\n\n", image.h, image.w, image.c, classes, batch);
  text += Row{"", "layer", "out [h, w, c]", "parameters", "MFLOP", "activations"}.text();
  text += Row{"input",
              plan.shown == image ? "" : "its centre",
              shape_text(plan.shown),
              "",
              "",
              bytes_text(sizeof(float) * static_cast<std::uint64_t>(batch) * plan.shown.size())}
              .text();
  for (const PlannedLayer& layer : plan.layers) text += layer_row(layer);
  text += Row{"total",
              "",
              "",
              grouped(plan.parameters),
              megaflop(plan.forward_flops),
              bytes_text(plan.activation_bytes)}
              .text();
  text += fmt::format(
      "\n  MFLOP: one image forward; {} forward and backward, {:.3f} TFLOP for 60,000 images\n"
      "  activations: the whole batch in fp32; fused: computed on the way, never stored\n\n",
      megaflop(plan.training_flops), static_cast<double>(plan.training_flops) * kImagesOfMnist / 1e12);
  return text + recipe_text(plan, spec);
}

}  // namespace trainer
