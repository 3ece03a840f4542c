// A pass of a convolution as cuDNN runs it: its graph, the plan chosen for it, that plan as text, and the
// launch.
#pragma once

#include <cudnn.h>
#include <optional>
#include <string>

#include "kernels/cuda/cudnn/cudnn_descriptor.hpp"
#include "kernels/cuda/cudnn/cudnn_plan.hpp"

namespace trainer::cuda {

// What a plan is made for: the device of a handle, or a described one. Exactly one is set.
struct PlanTarget {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

struct PassPlan {
  Descriptor descriptor;
  PlanChoice choice;
};

// The tensors' names between a graph and the pointers that it is run with.
constexpr std::int64_t kTensorX = 1;
constexpr std::int64_t kTensorW = 2;
constexpr std::int64_t kTensorY = 3;

// The graph of one operation: `pass` of the convolution. Dimensions are [n, c, h, w] with c innermost in
// memory; pointers are aligned to 16 bytes. Throws BackendError.
Descriptor graph_of(const ConvolutionShape& shape, Pass pass, const PlanTarget& target);

// Takes the first engine that the rules and the precision allow and that accepts the pass, in the order of
// cuDNN's heuristics; nothing is timed, so that the choice is the same every time. Throws BackendError naming
// pass and shape.
PassPlan choose_plan(const ConvolutionShape& shape, Pass pass, const PlanRules& rules,
                     const PlanTarget& target);

// A plan as text, and back without heuristics or compilation; nothing where the library does not take the
// text.
std::string plan_text(const PassPlan& plan);
std::optional<PassPlan> plan_of(const std::string& text, const PlanTarget& target);

// Gives a plan the device it is made for.
void set_target(Descriptor& plan, const PlanTarget& target);

// What a pass reads and writes; in the gradients, dx stands for x, dw for w, dy for y.
struct PassPointers {
  const void* x = nullptr;
  const void* w = nullptr;
  const void* y = nullptr;
  void* workspace = nullptr;
};

// Only launches, on the handle's stream; can be captured in a CUDA graph.
cudnnStatus_t execute(cudnnHandle_t handle, const PassPlan& plan, const PassPointers& pointers);

}  // namespace trainer::cuda
