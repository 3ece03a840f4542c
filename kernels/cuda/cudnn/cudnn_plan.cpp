#include "kernels/cuda/cudnn/cudnn_plan.hpp"

#include <fmt/format.h>

#include "kernels/backend.hpp"
#include "kernels/cuda/cudnn/cudnn_graph.hpp"

namespace trainer::cuda {

namespace {

const char* words(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "forward";
    case Pass::filter_gradient:
      return "filter gradient";
    case Pass::data_gradient:
      break;
  }
  return "data gradient";
}

}  // namespace

std::string describe(const ConvolutionShape& s, Pass pass) {
  std::string text = fmt::format("{} of convolution {}x{}x{} on {} x {}x{}x{}", words(pass), s.kernel,
                                 s.kernel, s.out, s.batch, s.in.h, s.in.w, s.in.c);
  if (s.stride != 1) text += fmt::format(", stride {}", s.stride);
  if (s.pad != Border{}) {
    text += fmt::format(", border {} {} {} {}", s.pad.top, s.pad.bottom, s.pad.left, s.pad.right);
  }
  return text + ", " + precision_name(s.precision);
}

std::string cudnn_version() {
  const std::size_t version = cudnnGetVersion();  // 90701 is 9.7.1
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

#if CUDNN_VERSION >= 91100

bool can_plan_without_device() {
  return cudnnGetVersion() >= 91100;
}

PlanChoice plan_without_device(const ConvolutionShape& shape, Pass pass, const PlanRules& rules,
                               const std::string& device_properties) {
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set_all<char>(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, device_properties);
  properties.finalize();
  return choose_plan(shape, pass, rules, {nullptr, &properties}).choice;
}

#else

bool can_plan_without_device() {
  return false;
}

PlanChoice plan_without_device(const ConvolutionShape& shape, Pass pass, const PlanRules&,
                               const std::string&) {
  throw BackendError(describe(shape, pass) +
                     ": to plan for a device that is not there takes cuDNN 9.11 or later");
}

#endif

}  // namespace trainer::cuda
