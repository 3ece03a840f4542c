// Turns layers into ops. First each layer is described on its own, with every shape and size checked in 64 bits
// before it becomes an int; then neighbours are fused and parameters get their settings from the recipe.
#include "models/plan.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <numeric>

#include "models/layers.hpp"
#include "models/recipe.hpp"

namespace trainer {

namespace {

// Fuses `next` into `op` if one op can do both. A second ReLU changes nothing and is absorbed.
bool fuse(OpDesc& op, const OpDesc& next) {
  const bool relu = std::holds_alternative<ReluDesc>(next);
  if (auto* conv = std::get_if<ConvDesc>(&op)) {
    if (relu) conv->relu = true;
    const auto* pool = std::get_if<MaxPoolDesc>(&next);
    const bool takes_pool = pool != nullptr && !conv->pool;
    if (takes_pool) conv->pool = pool->window;
    return relu || takes_pool;
  }
  if (auto* dense = std::get_if<DenseDesc>(&op)) {
    if (relu) dense->relu = true;
    return relu;
  }
  if (auto* norm = std::get_if<BatchNormDesc>(&op)) {
    const bool takes_gelu = std::holds_alternative<GeluDesc>(next) && !norm->gelu;
    if (takes_gelu) norm->gelu = true;
    return takes_gelu;
  }
  return false;
}

void set_loss(OpDesc& last, const Recipe& recipe) {
  auto& head = std::get<HeadDesc>(last);
  head.logit_scale = static_cast<float>(recipe.logit_scale);
  head.label_smoothing = static_cast<float>(recipe.label_smoothing);
  head.selection = recipe.keep;
}

// Which of optimizers_of(recipe) updates the weight of `layer`.
std::uint32_t group_of(const std::string& layer, const Recipe& recipe) {
  for (std::size_t g = 0; g < recipe.groups.size(); ++g) {
    const std::vector<std::string>& layers = recipe.groups[g].layers;
    if (std::find(layers.begin(), layers.end(), layer) != layers.end()) return g + 1;
  }
  return 0;
}

// Checks that every layer that a group names exists and has a weight.
void check_groups(const Recipe& recipe, const std::vector<PlannedOp>& ops) {
  Words weighted;
  for (const PlannedOp& op : ops) {
    for (const PlannedParameter& parameter : op.parameters) {
      if (parameter.desc.role == ParameterRole::weight) weighted.push_back(op.name);
    }
  }
  for (const OptimizerGroup& group : recipe.groups) {
    for (const std::string& layer : group.layers) {
      if (std::find(weighted.begin(), weighted.end(), layer) == weighted.end())
        fail(group.place, "groups: " + unknown_word("layer with a weight", layer, weighted));
    }
  }
}

Initialization start_of(const ParameterDesc& desc, const LayerSpec& layer, const Recipe& recipe) {
  if (desc.role == ParameterRole::weight) return layer.weights.value_or(recipe.weights);
  if (desc.role == ParameterRole::bias) return layer.biases.value_or(recipe.biases);
  const bool factor = desc.role == ParameterRole::gamma || desc.role == ParameterRole::running_variance;
  return factor ? Initialization{Initializer::constant, 1, 0} : Initialization{Initializer::zeros, 0, 0};
}

bool decays(ParameterRole role, LayerKind kind, const Recipe& recipe) {
  const bool chosen = role == ParameterRole::weight || (role == ParameterRole::bias && recipe.decay_biases);
  return chosen && (kind == LayerKind::dense || !recipe.decay_dense_only);
}

std::vector<PlannedParameter> plan_parameters(const std::string& op, const OpDesc& desc,
                                              const LayerSpec& layer, const Recipe& recipe) {
  std::vector<PlannedParameter> planned;
  for (const ParameterDesc& parameter : parameters(desc)) {
    PlannedParameter next{fmt::format("{}.{}", op, role_name(parameter.role)), parameter, 1, 0,
                          start_of(parameter, layer, recipe)};
    if (parameter.role == ParameterRole::bias) next.rate_factor = static_cast<float>(recipe.bias_rate_factor);
    if (decays(parameter.role, layer.kind, recipe)) next.decay = static_cast<float>(recipe.weight_decay);
    if (parameter.role == ParameterRole::weight) next.optimizer = group_of(op, recipe);
    if (next.optimizer > 0) next.rate_factor = recipe.groups[next.optimizer - 1].rate_factor;
    planned.push_back(std::move(next));
  }
  return planned;
}

std::uint64_t trained_count(const OpDesc& desc) {
  std::uint64_t count = 0;
  for (const ParameterDesc& parameter : parameters(desc)) {
    if (is_trained(parameter.role)) count += parameter.count();
  }
  return count;
}

// Plans the layers one by one. A layer's input gradient costs as many FLOP as its forward, and so does its weight gradient.
std::vector<OpDesc> plan_layers(const Spec& spec, Plan& plan) {
  std::vector<OpDesc> descs;
  std::map<LayerKind, int> numbers;
  bool learns_before = false;
  Shape shape = plan.shown, skip;
  for (const LayerSpec& layer : spec.layers) {
    if (layer.opens_block) skip = shape;
    if (layer.opens_block && numbers[LayerKind::conv] + numbers[LayerKind::dense] == 0)
      fail(layer.place, "residual: the block begins with the network's input; put a conv or dense before it");
    const int number = ++numbers[layer.kind];
    const LayerPosition position{fmt::format("{}{}", layer_word(layer.kind), number), number, shape,
                                 &layer == &spec.layers.back(), skip};
    const OpDesc desc = describe_layer(layer, position, plan.input);
    shape = out_shape(desc);
    const std::uint64_t flops = forward_flops(desc);
    const std::uint64_t count = trained_count(desc);
    plan.layers.push_back({layer.kind, position.name, layer_text(layer, plan.input.classes), shape, count,
                           flops, learns_before ? 2 * flops : flops, 0});
    learns_before = learns_before || count > 0;
    plan.parameters += count;
    if (plan.parameters > kMostElements) {
      fail_layer(layer, position.name,
                 fmt::format("the network's parameters are more than {} here", kMostElements));
    }
    descs.push_back(desc);
  }
  return descs;
}

void plan_ops(const Spec& spec, const std::vector<OpDesc>& descs, Plan& plan) {
  bool learns_before = false;
  int blocks = 0;
  for (std::size_t first = 0; first < descs.size();) {
    if (spec.layers[first].opens_block) {
      const ResidualDesc start{in_shape(descs[first])};
      plan.ops.push_back({fmt::format("residual{}", ++blocks), start, {}, {}, learns_before});
    }
    PlannedOp op{plan.layers[first].name, descs[first], {static_cast<int>(first)}, {}, learns_before};
    std::size_t next = first + 1;
    for (; next < descs.size() && !spec.layers[next].opens_block && fuse(op.desc, descs[next]); ++next)
      op.layers.push_back(next);
    op.parameters = plan_parameters(op.name, op.desc, spec.layers[first], spec.recipe);
    learns_before = learns_before || !op.parameters.empty();
    plan.layers[next - 1].activation_bytes =
        sizeof(float) * static_cast<std::uint64_t>(plan.input.batch) * plan.layers[next - 1].out.size();
    plan.ops.push_back(std::move(op));
    first = next;
  }
  set_loss(plan.ops.back().desc, spec.recipe);
  check_groups(spec.recipe, plan.ops);
}

void check_input(const Spec& spec, const PlanInput& input) {
  constexpr int kMostExtent = 1 << 16;
  const auto within = [](int extent) { return extent >= 1 && extent <= kMostExtent; };
  const auto& [image, classes, batch] = input;
  if (!within(image.h) || !within(image.w) || !within(image.c) || !within(classes) || !within(batch)) {
    throw SpecError(
        fmt::format("{}: images of {}x{}x{}, {} classes and a batch of {}: each number must be 1 to {}",
                    spec.name, image.h, image.w, image.c, classes, batch, kMostExtent));
  }
  if (batch * image.size() > kMostElements) {
    throw SpecError(
        fmt::format("{}: a batch of {} images of {}x{}x{} has more than {} values; make it smaller",
                    spec.name, batch, image.h, image.w, image.c, kMostElements));
  }
}

// The part of an image that `input: {crop: N}` leaves.
Shape shown_piece(const Spec& spec, const Shape& image) {
  const int crop = spec.recipe.input.crop;
  if (crop == 0) return image;
  if (crop <= image.h && crop <= image.w) return {crop, crop, image.c};
  throw SpecError(
      fmt::format("{}: `crop: {}` is larger than the {}x{} images", spec.name, crop, image.h, image.w));
}

// If a file states a parameter count, the plan must have it for the input for which the count was published.
void check_promise(const Spec& spec, const Plan& plan) {
  const bool published_for = plan.input.image == Shape{28, 28, 1} && plan.input.classes == 10;
  if (!spec.parameters || !published_for) return;
  if (static_cast<std::uint64_t>(*spec.parameters) == plan.parameters) return;
  throw SpecError(
      fmt::format("{}: {}: the layers have {} parameters on 28x28x1 images of 10 classes, but "
                  "`parameters` says {}; correct it or leave it out",
                  spec.layers.front().place.file, spec.name, plan.parameters, *spec.parameters));
}

}  // namespace

Plan make_plan(const Spec& spec, const PlanInput& input) {
  check_input(spec, input);
  check_augmentation(spec, input.image);
  Plan plan;
  plan.model = spec.name;
  plan.input = input;
  plan.shown = shown_piece(spec, input.image);
  plan.average = spec.recipe.average;
  const std::vector<OpDesc> descs = plan_layers(spec, plan);
  plan_ops(spec, descs, plan);
  plan.activation_bytes = sizeof(float) * static_cast<std::uint64_t>(input.batch) * plan.shown.size();
  for (const PlannedLayer& layer : plan.layers) {
    plan.forward_flops += layer.forward_flops;
    plan.training_flops += layer.forward_flops + layer.backward_flops;
    plan.activation_bytes += layer.activation_bytes;
  }
  check_promise(spec, plan);
  return plan;
}

}  // namespace trainer
