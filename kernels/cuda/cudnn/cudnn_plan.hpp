// A pass of a convolution by cuDNN: its graph, the plan chosen for it, that plan as text, and the launch. cuDNN's graph
// interface consists of descriptors, which are objects with numbered attributes; a Descriptor owns one and sets and
// reads its attributes by type. Only cudnn_* and the test that plans for absent GPUs include this file.
#pragma once

#include <array>
#include <cstdint>
#include <cudnn.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/runtime/library.hpp"

namespace trainer::cuda {

// "CUDNN_STATUS_NOT_SUPPORTED (3000): what the library said last on this thread", in one line.
std::string status_text(cudnnStatus_t status);

// Throws BackendError "what: status_text".
void check(cudnnStatus_t status, std::string_view what);

// cuDNN's name of an attribute's type.
template <typename T>
constexpr cudnnBackendAttributeType_t attribute_type() {
  if constexpr (std::is_same_v<T, float>) return CUDNN_TYPE_FLOAT;
  if constexpr (std::is_same_v<T, char>) return CUDNN_TYPE_CHAR;
  if constexpr (std::is_same_v<T, void*>) return CUDNN_TYPE_VOID_PTR;
  if constexpr (std::is_same_v<T, cudnnHandle_t>) return CUDNN_TYPE_HANDLE;
  if constexpr (std::is_same_v<T, cudnnDataType_t>) return CUDNN_TYPE_DATA_TYPE;
  if constexpr (std::is_same_v<T, cudnnConvolutionMode_t>) return CUDNN_TYPE_CONVOLUTION_MODE;
  if constexpr (std::is_same_v<T, cudnnBackendHeurMode_t>) return CUDNN_TYPE_HEUR_MODE;
  if constexpr (std::is_same_v<T, cudnnBackendNumericalNote_t>) return CUDNN_TYPE_NUMERICAL_NOTE;
  if constexpr (std::is_same_v<T, cudnnBackendBehaviorNote_t>) return CUDNN_TYPE_BEHAVIOR_NOTE;
  return CUDNN_TYPE_INT64;
}

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Descriptor() {
    if (raw_ != nullptr) cudnnBackendDestroyDescriptor(raw_);
  }

  cudnnBackendDescriptor_t raw() const { return raw_; }

  template <typename T>
  void set_all(cudnnBackendAttributeName_t name, std::span<const T> values) {
    set_raw(name, attribute_type<T>(), values.size(), values.data());
  }
  template <typename T>
  void set(cudnnBackendAttributeName_t name, const T& value) {
    set_all(name, std::span<const T>(&value, 1));
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.raw_);
  }
  void finalize() { check(try_finalize(), "cudnnBackendFinalize"); }
  cudnnStatus_t try_finalize() { return cudnnBackendFinalize(raw_); }

  template <typename T>
  std::vector<T> get_all(cudnnBackendAttributeName_t name) const {
    std::vector<T> values(get_raw(name, attribute_type<T>(), 0, nullptr));
    get_raw(name, attribute_type<T>(), values.size(), values.data());
    return values;
  }
  std::int64_t get_number(cudnnBackendAttributeName_t name) const;
  // Fills `into`, a descriptor of the kind that the attribute holds.
  void get_descriptor(cudnnBackendAttributeName_t name, Descriptor& into) const;
  std::vector<Descriptor> get_descriptors(cudnnBackendAttributeName_t name,
                                          cudnnBackendDescriptorType_t type) const;

 private:
  void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::size_t count,
               const void* values);
  // Returns how many values the attribute has.
  std::size_t get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::size_t count,
                      void* values) const;

  cudnnBackendDescriptor_t raw_ = nullptr;
};

enum class Pass : std::uint8_t { forward, filter_gradient, data_gradient };

// "filter gradient of convolution 5x5x24 on 256 x 28x28x1, fp32": for errors and for the names of cached plans. Two
// passes have the same text only if one plan serves both.
std::string describe(const LayerShape& shape, Pass pass);

constexpr std::size_t kWorkspaceBound = std::size_t{256} << 20U;

struct PlanRules {
  bool deterministic = true;  // excludes engines whose bits may differ from run to run
  // The first plan within the bound is taken; if there is none, the one with the smallest workspace.
  std::size_t workspace_bound = kWorkspaceBound;
};

struct PlanChoice {
  int engine = -1;  // cuDNN's number of the engine, for this kind of pass
  bool deterministic = false;
  bool tensor_core = false;
  bool runtime_compiled = false;
  std::size_t workspace = 0;  // bytes
};

// The device that a plan is made for: that of a handle, or a described one. Exactly one is set.
struct PlanTarget {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

struct PassPlan {
  Descriptor descriptor;
  PlanChoice choice;
};

// The graph of a single operation, `pass` of the convolution. Dimensions are [n, c, h, w] with c innermost in memory;
// pointers are aligned to 16 bytes. Throws BackendError.
Descriptor graph_of(const LayerShape& shape, Pass pass, const PlanTarget& target);

// Nothing is timed, so the choice is always the same. Throws BackendError naming pass and shape.
PassPlan choose_plan(const LayerShape& shape, Pass pass, const PlanRules& rules, const PlanTarget& target);

// Converts a plan to text, and back without heuristics or compilation; nothing if the library rejects the text.
std::string plan_text(const PassPlan& plan);
std::optional<PassPlan> plan_of(const std::string& text, const PlanTarget& target);

// Tells a plan which device it is made for.
void set_target(Descriptor& plan, const PlanTarget& target);

// x, w and y of a pass. A gradient is in its tensor's place: dx as x, dw as w, dy as y.
using PassTensors = std::array<const void*, 3>;

// Only launches, on the handle's stream; can be captured in a CUDA graph.
cudnnStatus_t execute(cudnnHandle_t handle, const PassPlan& plan, PassTensors tensors, void* workspace);

}  // namespace trainer::cuda
