// A plan as text for the cache, and a plan at work. The text is a line with what cuDNN's own does not tell,
// "engine deterministic tensor_core", and then cuDNN's JSON of the plan, which holds the machine code of an
// engine that was compiled at run time.
#include <array>
#include <cstdio>
#include <fmt/format.h>

#include "kernels/backend.hpp"
#include "kernels/cuda/cudnn/cudnn_graph.hpp"

namespace trainer::cuda {

void set_target(Descriptor& plan, const PlanTarget& target) {
  if (target.handle != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
#if CUDNN_VERSION >= 91100
  if (target.properties != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
#endif
}

std::string plan_text(const PassPlan& plan) {
  const PlanChoice& c = plan.choice;
  const std::vector<char> json = plan.descriptor.get_all<char>(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
  return fmt::format("{} {:d} {:d}\n{}", c.engine, c.deterministic, c.tensor_core,
                     std::string_view(json.data(), json.size()));
}

std::optional<PassPlan> plan_of(const std::string& text, const PlanTarget& target) try {
  const std::size_t end = text.find('\n');
  int engine = 0;
  int deterministic = 0;
  int tensor_core = 0;
  if (end == std::string::npos ||
      std::sscanf(text.c_str(), "%d %d %d", &engine, &deterministic, &tensor_core) != 3) {
    return std::nullopt;
  }
  PassPlan plan{Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR),
                {engine, deterministic != 0, tensor_core != 0, true, 0}};
  set_target(plan.descriptor, target);
  plan.descriptor.set_all<char>(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                std::span(text).subspan(end + 1));
  if (plan.descriptor.try_finalize() != CUDNN_STATUS_SUCCESS) return std::nullopt;
  const std::int64_t workspace = plan.descriptor.get_number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  plan.choice.workspace = static_cast<std::size_t>(workspace);
  return plan;
} catch (const BackendError&) {
  return std::nullopt;
}

cudnnStatus_t execute(cudnnHandle_t handle, const PassPlan& plan, const PassPointers& p) {
  // The library takes every pointer as writable; it writes the pass's output alone.
  const std::array<void*, 3> pointers = {const_cast<void*>(p.x), const_cast<void*>(p.w),
                                         const_cast<void*>(p.y)};
  const std::array<std::int64_t, 3> identifiers = {kTensorX, kTensorW, kTensorY};
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set_all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers);
  pack.set_all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, identifiers);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, p.workspace);
  pack.finalize();
  return cudnnBackendExecute(handle, plan.descriptor.raw(), pack.raw());
}

}  // namespace trainer::cuda
