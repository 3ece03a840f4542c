// The plan of a network: every shape, parameter, FLOP and byte, fixed once from spec, input and batch before
// any device is touched. Layers are what the user wrote; ops are what runs, with neighbours fused
// (convolution + ReLU + max pool; dense + ReLU; batch normalisation + GELU; last dense + softmax + loss +
// correct answers).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "kernels/op.hpp"
#include "models/spec.hpp"

namespace trainer {

struct PlanInput {
  Shape image;  // of the data set
  int classes = 0;
  int batch = 0;
};

struct PlannedLayer {
  LayerKind kind;
  std::string name;  // "conv1", "dense2": kind and its number among its kind
  std::string text;  // "conv 5x5x24 valid"
  Shape out;
  std::uint64_t parameters = 0;      // trained ones
  std::uint64_t forward_flops = 0;   // for one image
  std::uint64_t backward_flops = 0;  // for one image; no input gradient for the first layer with weights
  std::uint64_t activation_bytes =
      0;  // the output of a whole batch; 0 inside a fused op, which does not store it
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
  std::string name;  // that of its first layer: "conv1"
  OpDesc desc;
  std::vector<int> layers;                   // indices into Plan::layers
  std::vector<PlannedParameter> parameters;  // order of parameters(desc)
  bool wants_dx = false;  // whether an op before it learns, so that its input gradient is needed
};

struct Plan {
  std::string model;
  PlanInput input;
  Shape shown;  // what the first layer sees: the image, or its centre
  std::vector<PlannedLayer> layers;
  std::vector<PlannedOp> ops;
  std::uint64_t parameters = 0;        // trained ones
  std::uint64_t forward_flops = 0;     // one image
  std::uint64_t training_flops = 0;    // one image, forward and backward
  std::uint64_t activation_bytes = 0;  // input and stored outputs, for the whole batch
};

// Throws SpecError naming file, line and layer: a pool or filter larger than its input, a last layer that is
// not dense with one output a class, counts that overflow, a published parameter count that is not met.
Plan make_plan(const Spec& spec, const PlanInput& input);

// What `trainer models NAME` prints, at most 100 columns: layers, totals, and the recipe of `spec`, which the
// plan was made from; it ends with a newline.
std::string plan_table(const Plan& plan, const Spec& spec);
// The same as JSON.
nlohmann::ordered_json plan_json(const Plan& plan, const Spec& spec);
nlohmann::ordered_json recipe_json(const Recipe& recipe);

// The recipe alone, one line for each part: "optimizer   adam, beta1 0.7, beta2 0.9, epsilon 1e-08".
std::string recipe_text(const Plan& plan, const Spec& spec);

}  // namespace trainer
