// The plan of a network: every shape, parameter, FLOP and byte, computed once from spec, input and batch before any device is
// touched. Layers are what the user wrote; ops are what runs, with neighbours fused (convolution + ReLU + max pool; dense +
// ReLU; batch normalisation + GELU; last dense + softmax + loss + correct answers).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "kernels/op.hpp"
#include "models/spec.hpp"

namespace trainer {

struct PlanInput {
  Shape image;  // one image of the data set
  int classes = 0;
  int batch = 0;
};

struct PlannedLayer {
  LayerKind kind;
  std::string name;  // "conv1", "dense2": its kind and its number within the kind
  std::string text;  // "conv 5x5x24 valid"
  Shape out;
  std::uint64_t parameters = 0;        // trained ones
  std::uint64_t forward_flops = 0;     // for one image
  std::uint64_t backward_flops = 0;    // for one image; without the first weighted layer's input gradient
  std::uint64_t activation_bytes = 0;  // the output's, for a whole batch; 0 if a fused op does not store it
};

struct PlannedParameter {
  std::string name;  // "conv1.weight": the tensor's name in a checkpoint
  ParameterDesc desc;
  float rate_factor = 1;
  float decay = 0;
  Initialization initialization;
  std::uint32_t optimizer = 0;  // index into optimizers_of(recipe)
};

struct PlannedOp {
  std::string name;  // the name of its first layer: "conv1"
  OpDesc desc;
  std::vector<int> layers;                   // indices into Plan::layers
  std::vector<PlannedParameter> parameters;  // in the order of parameters(desc)
  bool wants_dx = false;  // whether an earlier op learns, so that this one's input gradient is needed
};

struct Plan {
  std::string model;
  PlanInput input;
  Shape shown;  // the first layer's input: the image, or its centre
  std::vector<PlannedLayer> layers;
  std::vector<PlannedOp> ops;
  std::uint64_t parameters = 0;        // trained ones
  std::uint64_t forward_flops = 0;     // one image
  std::uint64_t training_flops = 0;    // one image, forward and backward
  std::uint64_t activation_bytes = 0;  // input and stored outputs, for the whole batch
  std::optional<double> average;       // Recipe::average
};

// Throws SpecError naming file, line and layer for a pool or filter larger than its input, a last layer that is
// not dense with one output per class, counts that overflow, and a parameter count other than the published one.
Plan make_plan(const Spec& spec, const PlanInput& input);

// Draws the desc.count() initial values of a parameter on the host, in the canonical layout: they are the same on every
// backend. Value i is a pure function of (seed, index, i), where `index` numbers the network's parameters: word i % 4 of
// Philox4x32-10 with the key `seed` and the counter (i / 4, attempt, 0, 2^31 + index). The last word cannot collide with
// dropout, which numbers its streams from 1 under the same key.
std::vector<float> initial_values(const PlannedParameter& parameter, std::uint64_t seed, int index);

// The output of `trainer models NAME`, at most 100 columns wide: layers, totals, and the recipe of `spec`, from
// which the plan was made; it ends with a newline.
std::string plan_table(const Plan& plan, const Spec& spec);
// The same as JSON.
nlohmann::ordered_json plan_json(const Plan& plan, const Spec& spec);
nlohmann::ordered_json recipe_json(const Recipe& recipe);
// The network's file as it was written, for programs that make the plan themselves.
nlohmann::ordered_json file_json(const Spec& spec);

// The recipe alone, one line for each part: "optimizer   adam, beta1 0.7, beta2 0.9, epsilon 1e-08".
std::string recipe_text(const Plan& plan, const Spec& spec);

}  // namespace trainer
