// Convolutions by cuDNN: make() makes one plan for each pass, which runs with the caller's pointers. Plans come from
// the heuristics; those of engines that are compiled at run time (a second or two each) are stored in the plan cache
// and looked up there first. Pointers are aligned to 16 bytes.
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>

#include "kernels/backend.hpp"
#include "kernels/cuda/cudnn/cudnn_plan.hpp"
#include "kernels/cuda/cudnn/plan_cache.hpp"
#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/handle.hpp"

namespace trainer::cuda {

namespace {

using CudnnHandle = Handle<cudnnContext, cudnnDestroy>;

using Plans = std::map<Pass, PassPlan>;

class CudnnConvolution final : public LayerPasses {
 public:
  CudnnConvolution(cudnnHandle_t handle, const LayerShape& shape, Plans plans)
      : handle_(handle), shape_(shape), plans_(std::move(plans)) {}

  std::size_t workspace_bytes() const override {
    std::size_t most = 0;
    for (const auto& [pass, plan] : plans_) most = std::max(most, plan.choice.workspace);
    return most;
  }

  void forward(const void* x, const void* w, void* y, void* workspace) override {
    run(Pass::forward, {x, w, y}, workspace);
  }
  void backward_weights(const void* x, const void* dy, void* dw, float* /*db*/, void* workspace) override {
    run(Pass::filter_gradient, {x, dw, dy}, workspace);
  }
  void backward_data(const void* dy, const void* w, void* dx, void* workspace) override {
    run(Pass::data_gradient, {dx, w, dy}, workspace);
  }

 private:
  void run(Pass pass, const PassTensors& tensors, void* workspace) const {
    if (!plans_.contains(pass)) throw BackendError(describe(shape_, pass) + " was not prepared");
    const PassPlan& plan = plans_.at(pass);
    std::string complaint;
    try {
      const cudnnStatus_t status = execute(handle_, plan, tensors, workspace);
      if (status == CUDNN_STATUS_SUCCESS) return;
      complaint = status_text(status);
    } catch (const BackendError& error) {
      complaint = error.what();
    }
    throw BackendError(fmt::format("{} by engine {} of cuDNN {} did not start: {}; try --device cpu",
                                   describe(shape_, pass), plan.choice.engine, convolutions_version(),
                                   complaint));
  }

  cudnnHandle_t handle_;
  LayerShape shape_;
  Plans plans_;
};

// What a cached plan depends on besides its pass: the device it was compiled for and the library that compiled it.
std::string device_key() {
  int device = 0;
  cudaDeviceProp properties{};
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return fmt::format("{} {}.{} with {} multiprocessors, cuDNN {} on CUDA {}", properties.name,
                     properties.major, properties.minor, properties.multiProcessorCount, cudnnGetVersion(),
                     cudnnGetCudartVersion());
}

CudnnHandle open_handle(cudaStream_t stream) {
  auto handle = made<CudnnHandle>([](cudnnHandle_t* out) {
    const cudnnStatus_t status = cudnnCreate(out);
    if (status != CUDNN_STATUS_SUCCESS) {
      throw BackendError(
          fmt::format("cuDNN {} cannot be opened: {}; look whether all its libraries are there in one "
                      "version, and whether another process holds the device's memory",
                      convolutions_version(), status_text(status)));
    }
  });
  check(cudnnSetStream(handle.get(), stream), "cudnnSetStream");
  return handle;
}

class CudnnConvolutions final : public Library {
 public:
  explicit CudnnConvolutions(const ConvolutionOptions& options)
      : handle_(open_handle(options.stream)),
        rules_{.deterministic = options.deterministic},
        cache_(options.plan_cache) {
    if (!options.plan_cache.empty()) device_key_ = device_key();
  }

  std::unique_ptr<LayerPasses> make(const LayerShape& shape) override {
    Plans plans;
    for (const Pass pass : {Pass::forward, Pass::filter_gradient, Pass::data_gradient})
      if (pass != Pass::data_gradient || shape.wants_dx) plans.emplace(pass, plan(shape, pass));
    return std::make_unique<CudnnConvolution>(handle_.get(), shape, std::move(plans));
  }

 private:
  PassPlan plan(const LayerShape& shape, Pass pass) const {
    const PlanTarget target{handle_.get(), nullptr};
    const std::string key = fmt::format("{}, {}; {}", describe(shape, pass),
                                        rules_.deterministic ? "deterministic" : "any engine", device_key_);
    if (const std::optional<std::string> text = cache_.find(key)) {
      if (std::optional<PassPlan> kept = plan_of(*text, target)) return std::move(*kept);
    }
    PassPlan plan = choose_plan(shape, pass, rules_, target);
    if (plan.choice.runtime_compiled) keep(key, plan);
    return plan;
  }

  void keep(const std::string& key, const PassPlan& plan) const {
    try {
      cache_.keep(key, plan_text(plan));
    } catch (const BackendError&) {
      return;  // the plan is made again next time
    }
  }

  CudnnHandle handle_;
  PlanRules rules_;
  PlanCache cache_;
  std::string device_key_;
};

}  // namespace

std::unique_ptr<Library> open_convolutions(const ConvolutionOptions& options) {
  return std::make_unique<CudnnConvolutions>(options);
}

}  // namespace trainer::cuda
