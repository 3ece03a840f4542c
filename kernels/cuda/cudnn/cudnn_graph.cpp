// cuDNN's descriptors, the graph of a pass, a plan as text for the cache, and the launch of a plan. The text is a line
// with the engine's number, which cuDNN's own text lacks, followed by cuDNN's JSON of the plan, which holds the machine
// code of an engine that was compiled at run time.
#include <algorithm>
#include <array>
#include <cstdio>
#include <fmt/format.h>

#include "kernels/backend.hpp"
#include "kernels/cuda/cudnn/cudnn_plan.hpp"

namespace trainer::cuda {

std::string status_text(cudnnStatus_t status) {
  std::array<char, 2048> last{};
  cudnnGetLastErrorString(last.data(), last.size());
  std::string text = last.data();
  for (char& c : text) {
    if (c == '\n' || c == '\t') c = ' ';
  }
  text.erase(text.find_last_not_of(' ') + 1);
  const std::string code = fmt::format("{} ({})", cudnnGetErrorString(status), static_cast<int>(status));
  return text.empty() ? code : code + ": " + text;
}

void check(cudnnStatus_t status, std::string_view what) {
  if (status != CUDNN_STATUS_SUCCESS) throw BackendError(fmt::format("{}: {}", what, status_text(status)));
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check(cudnnBackendCreateDescriptor(type, &raw_), "cudnnBackendCreateDescriptor");
}

void Descriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         std::size_t count, const void* values) {
  check(cudnnBackendSetAttribute(raw_, name, type, count, values),
        fmt::format("cudnnBackendSetAttribute {}", static_cast<int>(name)));
}

std::size_t Descriptor::get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                std::size_t count, void* values) const {
  std::int64_t got = 0;
  check(cudnnBackendGetAttribute(raw_, name, type, count, &got, values),
        fmt::format("cudnnBackendGetAttribute {}", static_cast<int>(name)));
  return static_cast<std::size_t>(got);
}

std::int64_t Descriptor::get_number(cudnnBackendAttributeName_t name) const {
  std::int64_t value = 0;
  get_raw(name, CUDNN_TYPE_INT64, 1, &value);
  return value;
}

void Descriptor::get_descriptor(cudnnBackendAttributeName_t name, Descriptor& into) const {
  get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &into.raw_);
}

std::vector<Descriptor> Descriptor::get_descriptors(cudnnBackendAttributeName_t name,
                                                    cudnnBackendDescriptorType_t type) const {
  const std::size_t most = get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  std::vector<Descriptor> all;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::size_t i = 0; i < most; ++i) raw.push_back(all.emplace_back(type).raw());
  const std::size_t got = most > 0 ? get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data()) : 0;
  while (all.size() > got) all.pop_back();
  return all;
}

namespace {

constexpr std::int64_t kAlignment = 16;

// Identify the tensors of a graph among the pointers that it runs with.
constexpr std::array<std::int64_t, 3> kTensors = {1, 2, 3};

using Dimensions = std::array<std::int64_t, 4>;  // n, c, h, w

cudnnDataType_t cudnn_type(Element element) {
  if (element == Element::fp16) return CUDNN_DATA_HALF;
  return element == Element::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

Descriptor tensor(const Dimensions& d, cudnnDataType_t type, std::int64_t identifier) {
  const Dimensions strides = {d[1] * d[2] * d[3], 1, d[1] * d[3], d[1]};
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  tensor.set_all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, d);
  tensor.set_all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES, strides);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, identifier);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  tensor.finalize();
  return tensor;
}

Descriptor convolution(const LayerShape& s) {
  using Pair = std::array<std::int64_t, 2>;  // along h, along w
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  convolution.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2});
  convolution.set_all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, Pair{1, 1});
  convolution.set_all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, Pair{s.stride, s.stride});
  convolution.set_all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, Pair{s.pad.top, s.pad.left});
  convolution.set_all<std::int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, Pair{s.pad.bottom, s.pad.right});
  convolution.finalize();
  return convolution;
}

// The three operations differ only in the names of their attributes.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};

OperationNames names_of(Pass pass) {
#define ATTRIBUTE(name) CUDNN_ATTR_OPERATION_CONVOLUTION_##name
#define NAMES(TYPE, NAME, X, W, Y)                                                                          \
  OperationNames {                                                                                          \
    CUDNN_BACKEND_OPERATION_CONVOLUTION_##TYPE##_DESCRIPTOR, ATTRIBUTE(NAME##_##X), ATTRIBUTE(NAME##_##W),  \
        ATTRIBUTE(NAME##_##Y), ATTRIBUTE(NAME##_CONV_DESC), ATTRIBUTE(NAME##_ALPHA), ATTRIBUTE(NAME##_BETA) \
  }
  if (pass == Pass::forward) return NAMES(FORWARD, FORWARD, X, W, Y);
  if (pass == Pass::filter_gradient) return NAMES(BACKWARD_FILTER, BWD_FILTER, X, DW, DY);
  return NAMES(BACKWARD_DATA, BWD_DATA, DX, W, DY);
#undef NAMES
#undef ATTRIBUTE
}

}  // namespace

Descriptor graph_of(const LayerShape& s, Pass pass, const PlanTarget& target) {
  const int h = window_positions(s.in.h + s.pad.top + s.pad.bottom, s.kernel, s.stride);
  const int w = window_positions(s.in.w + s.pad.left + s.pad.right, s.kernel, s.stride);
  const OperationNames names = names_of(pass);
  const cudnnDataType_t type = cudnn_type(element_of(s.precision));
  Descriptor operation(names.type);
  operation.set(names.x, tensor({s.batch, s.in.c, s.in.h, s.in.w}, type, kTensors[0]));
  operation.set(names.w, tensor({s.out, s.in.c, s.kernel, s.kernel}, type, kTensors[1]));
  operation.set(names.y, tensor({s.batch, s.out, h, w}, type, kTensors[2]));
  operation.set(names.convolution, convolution(s));
  operation.set(names.alpha, 1.0F);
  operation.set(names.beta, 0.0F);
  operation.finalize();
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (target.handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
  graph.finalize();
  return graph;
}

void set_target(Descriptor& plan, const PlanTarget& target) {
  if (target.handle != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
#if CUDNN_VERSION >= 91100
  if (target.properties != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
#endif
}

std::string plan_text(const PassPlan& plan) {
  const std::vector<char> json = plan.descriptor.get_all<char>(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
  return fmt::format("{}\n{}", plan.choice.engine, std::string_view(json.data(), json.size()));
}

std::optional<PassPlan> plan_of(const std::string& text, const PlanTarget& target) try {
  const std::size_t end = text.find('\n');
  int engine = 0;
  if (end == std::string::npos || std::sscanf(text.c_str(), "%d", &engine) != 1) return std::nullopt;
  PassPlan plan{Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR), {.engine = engine}};
  set_target(plan.descriptor, target);
  plan.descriptor.set_all<char>(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                std::span(text).subspan(end + 1));
  if (plan.descriptor.try_finalize() != CUDNN_STATUS_SUCCESS) return std::nullopt;
  plan.choice.workspace = plan.descriptor.get_number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  return plan;
} catch (const BackendError&) {
  return std::nullopt;
}

cudnnStatus_t execute(cudnnHandle_t handle, const PassPlan& plan, PassTensors tensors, void* workspace) {
  // The library takes only writable pointers, but writes nothing except the pass's output.
  std::array<void*, 3> pointers{};
  std::ranges::transform(tensors, pointers.begin(), [](const void* p) { return const_cast<void*>(p); });
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set_all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers);
  pack.set_all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, kTensors);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  pack.finalize();
  return cudnnBackendExecute(handle, plan.descriptor.raw(), pack.raw());
}

}  // namespace trainer::cuda
