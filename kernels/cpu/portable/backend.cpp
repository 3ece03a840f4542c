#include "kernels/cpu/portable/backend.hpp"

#include <array>

#include "kernels/cpu/portable/executor.hpp"
#include "kernels/cpu/ranks/host_exchange.hpp"
#include "kernels/cpu/runtime/host_backend.hpp"
#include "kernels/portable/ops.hpp"

namespace trainer::cpu {

// The tables of kernels.cpp, in the namespace of their instruction set, best first.
#if defined(__x86_64__)
#define TRAINER_TABLES(TABLE) TABLE(portable_v4) TABLE(portable_v3) TABLE(portable_v2)
#else
#define TRAINER_TABLES(TABLE) TABLE(portable_base)
#endif
#define TRAINER_TABLE(space)                 \
  namespace space {                          \
  const PortableKernels& portable_kernels(); \
  }
TRAINER_TABLES(TRAINER_TABLE)
#undef TRAINER_TABLE

std::vector<const PortableKernels*> usable_portable_kernels() {
#define TRAINER_ADDRESS(space) &space::portable_kernels(),
  const std::vector<const PortableKernels*> all{TRAINER_TABLES(TRAINER_ADDRESS)};
  return {all.end() - static_cast<std::ptrdiff_t>(usable_loops().size()), all.end()};
}

namespace {

class PortableBackend final : public HostBackend {
 public:
  PortableBackend(int threads, const PortableKernels& kernels)
      : HostBackend(threads), executor_(kernels, stream_) {}

  DeviceInfo info(Libraries /*libraries*/) const override { return host_info(); }
  void join(const RankPart& part) override {
    Backend::join(part);
    executor_.part = part;
  }
  std::unique_ptr<GradientExchange> prepare_exchange(const ExchangeDesc& desc) override {
    return make_host_exchange(desc, stream_);
  }
  std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool /*wants_dx*/) override {
    return portable::make_op(executor_, desc, batch);
  }
  void gather(const GatherArgs& args) override { portable::gather(executor_, args); }
  void update(const UpdateArgs& args) override { portable::update(executor_, args, now_.data()); }
  void average(const AverageArgs& args) override { executor_.run(portable::Average{args}); }
  std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const override {
    return portable::update_workspace_bytes(matrices);
  }

 private:
  CpuExecutor executor_;
  std::array<UpdateStep, kMostOptimizers> now_{};
};

}  // namespace

std::unique_ptr<Backend> make_portable_backend(int threads, Precision precision) {
  if (precision != Precision::fp32)
    throw BackendError(fmt::format("portable bits are fp32, not {}", precision_name(precision)));
  return make_portable_backend(threads, *usable_portable_kernels().front());
}

std::unique_ptr<Backend> make_portable_backend(int threads, const PortableKernels& kernels) {
  return std::make_unique<PortableBackend>(threads, kernels);
}

}  // namespace trainer::cpu
