// Chooses the engine of a pass: the first in the order of cuDNN's heuristics that the rules allow and that accepts the
// pass.
//
// Precision. Sums are float in every precision. Under fp16 and bf16 the tensors are of that type, and engines that sum
// in less than float are excluded. Under fp32 and tf32 the tensors are float, and an engine says in its numerical notes
// what it does to them: TENSOR_CORE on float inputs means TF32 products with fp32 sums, DOWN_CONVERT_INPUTS products of
// fp16 or bf16. There is no other switch, so fp32 forbids both notes and tf32 only the second. (NVIDIA_TF32_OVERRIDE=0
// in the environment removes the TF32 engines; tf32 then runs in fp32.) Winograd's larger tiles lose accuracy in their
// transforms and are excluded in every precision.
#include "kernels/cuda/cudnn/cudnn_plan.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "kernels/backend.hpp"

namespace trainer::cuda {

namespace {

const char* words(Pass pass) {
  if (pass == Pass::forward) return "forward";
  return pass == Pass::filter_gradient ? "filter gradient" : "data gradient";
}

}  // namespace

std::string describe(const LayerShape& s, Pass pass) {
  std::string text = fmt::format("{} of convolution {}x{}x{} on {} x {}x{}x{}", words(pass), s.kernel,
                                 s.kernel, s.out, s.batch, s.in.h, s.in.w, s.in.c);
  if (s.stride != 1) text += fmt::format(", stride {}", s.stride);
  if (s.pad != Border{})
    text += fmt::format(", border {} {} {} {}", s.pad.top, s.pad.bottom, s.pad.left, s.pad.right);
  return text + ", " + precision_name(s.precision);
}

std::string convolutions_version() {
  const std::size_t version = cudnnGetVersion();  // 90701 is 9.7.1
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

namespace {

template <typename T>
bool has(const std::vector<T>& notes, T note) {
  return std::find(notes.begin(), notes.end(), note) != notes.end();
}

using Numbers = std::vector<cudnnBackendNumericalNote_t>;

bool allowed(const Numbers& notes, Precision precision, const PlanRules& rules) {
  if (rules.deterministic && has(notes, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) return false;
  if (precision == Precision::fp32 && has(notes, CUDNN_NUMERICAL_NOTE_TENSOR_CORE)) return false;
  for (const auto forbidden :
       {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
        CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13}) {
    if (has(notes, forbidden)) return false;
  }
  return true;
}

// The engine of a configuration; nothing if it is not allowed.
std::optional<PlanChoice> judge(const Descriptor& configuration, Precision precision,
                                const PlanRules& rules) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  configuration.get_descriptor(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  const auto numbers = engine.get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE);
  if (!allowed(numbers, precision, rules)) return std::nullopt;
  const auto behaviour = engine.get_all<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE);
  PlanChoice choice;
  choice.engine = static_cast<int>(engine.get_number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  choice.deterministic = !has(numbers, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
  choice.tensor_core = has(numbers, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
  choice.runtime_compiled = has(behaviour, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);
  return choice;
}

std::vector<Descriptor> configurations(const Descriptor& graph, cudnnBackendHeurMode_t mode,
                                       const PlanTarget& target) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
#if CUDNN_VERSION >= 91100
  if (target.properties != nullptr) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
#else
  static_cast<void>(target);
#endif
  heuristics.finalize();
  return heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
}

// Nothing if the engine does not accept the pass after all; `complaint` then says why.
std::optional<PassPlan> build(const Descriptor& configuration, const PlanChoice& choice,
                              const PlanTarget& target, std::string& complaint) {
  PassPlan plan{Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR), choice};
  set_target(plan.descriptor, target);
  plan.descriptor.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  const cudnnStatus_t status = plan.descriptor.try_finalize();
  if (status != CUDNN_STATUS_SUCCESS) {
    complaint = fmt::format("engine {}: {}", choice.engine, status_text(status));
    return std::nullopt;
  }
  plan.choice.workspace = plan.descriptor.get_number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  return plan;
}

// The first plan within the bound, else the one with the smallest workspace, else nothing.
std::optional<PassPlan> first_plan(const Descriptor& graph, Precision precision, const PlanRules& rules,
                                   const PlanTarget& target, std::string& complaint) {
  std::optional<PassPlan> least;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (const Descriptor& configuration : configurations(graph, mode, target)) {
      const std::optional<PlanChoice> choice = judge(configuration, precision, rules);
      if (!choice) continue;
      std::optional<PassPlan> plan = build(configuration, *choice, target, complaint);
      if (!plan) continue;
      if (plan->choice.workspace <= rules.workspace_bound) return plan;
      if (!least || plan->choice.workspace < least->choice.workspace) least = std::move(plan);
    }
  }
  return least;
}

}  // namespace

PassPlan choose_plan(const LayerShape& shape, Pass pass, const PlanRules& rules, const PlanTarget& target) {
  std::string complaint = "no engine was offered that keeps the precision and gives the same bits each time";
  try {
    const Descriptor graph = graph_of(shape, pass, target);
    if (auto plan = first_plan(graph, shape.precision, rules, target, complaint)) return std::move(*plan);
  } catch (const BackendError& error) {
    complaint = error.what();
  }
  throw BackendError(fmt::format(
      "{}: cuDNN {} has no plan: {}; {}", describe(shape, pass), convolutions_version(), complaint,
      rules.deterministic ? "try --nondeterministic or --device cpu" : "try --device cpu"));
}

}  // namespace trainer::cuda
