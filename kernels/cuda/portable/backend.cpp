#include "kernels/cuda/portable/backend.hpp"

#include <fmt/format.h>

#include "kernels/cuda/device_info/device_info.hpp"
#include "kernels/cuda/portable/executor.hpp"
#include "kernels/cuda/ranks/rank_backend.hpp"
#include "kernels/portable/ops.hpp"

namespace trainer::cuda {

namespace {

class PortableBackend final : public RankBackend {
 public:
  explicit PortableBackend(int device)
      : RankBackend(device),
        executor_(stream(), static_cast<unsigned>(device_attribute(cudaDevAttrMultiProcessorCount, device))),
        now_(allocate(kMostOptimizers * sizeof(UpdateStep), "the optimisers' rates")) {}

  DeviceInfo info(Libraries /*libraries*/) const override { return describe_device(device(), "", ""); }
  std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool /*wants_dx*/) override {
    return portable::make_op(executor_, desc, batch);
  }
  void cast(const float* /*from*/, void* /*to*/, std::size_t /*count*/) override {}  // maps are fp32
  void gather(const GatherArgs& args) override { portable::gather(executor_, args); }
  void update(const UpdateArgs& args) override { portable::update(executor_, args, now_.as<UpdateStep>()); }
  void average(const AverageArgs& args) override { executor_.run(portable::Average{args}); }
  std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const override {
    return portable::update_workspace_bytes(matrices);
  }
  void advance(StepState* state) override { executor_.run(portable::CloseStep{state}); }

 private:
  void join_ops(const RankPart& part) override { executor_.part = part; }

  PortableExecutor executor_;
  Buffer now_;
};

}  // namespace

std::unique_ptr<Backend> make_portable_backend(int device, Precision precision) {
  if (precision != Precision::fp32)
    throw BackendError(fmt::format("portable bits are fp32, not {}", precision_name(precision)));
  require_device(device);
  return std::make_unique<PortableBackend>(device);
}

}  // namespace trainer::cuda
