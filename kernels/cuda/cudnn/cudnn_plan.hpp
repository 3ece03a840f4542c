// How a convolution's pass is planned with cuDNN, without cuDNN's own words: for the engine
// (cudnn_convolution.cpp) and for a test that plans every shipped network for GPUs that are not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/cuda/cudnn/convolution.hpp"

namespace trainer::cuda {

enum class Pass : std::uint8_t { forward, filter_gradient, data_gradient };

// "filter gradient of convolution 5x5x24 on 256 x 28x28x1, fp32": for errors and for the names of kept plans.
// Two passes have the same text only if one plan serves both.
std::string describe(const ConvolutionShape& shape, Pass pass);

constexpr std::size_t kWorkspaceBound = std::size_t{256} << 20U;

struct PlanRules {
  bool deterministic = true;  // no engine that may give other bits each time
  // The first plan within the bound is taken; where none is, the one that needs least.
  std::size_t workspace_bound = kWorkspaceBound;
};

struct PlanChoice {
  int engine = -1;  // cuDNN's number of it, within the kind of pass
  bool deterministic = false;
  bool tensor_core = false;
  bool runtime_compiled = false;
  std::size_t workspace = 0;  // bytes
};

std::string cudnn_version();  // of the library in use: "9.14.0"

// Whether this build and the library in use can plan for a device that is described rather than present (9.11
// and later).
bool can_plan_without_device();

// The plan that `pass` gets on the device that `device_properties` describes: cuDNN's JSON of
// CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION. cuDNN keeps what it learns from the first, so one process asks
// for one device. Throws BackendError where there is no plan.
PlanChoice plan_without_device(const ConvolutionShape& shape, Pass pass, const PlanRules& rules,
                               const std::string& device_properties);

}  // namespace trainer::cuda
