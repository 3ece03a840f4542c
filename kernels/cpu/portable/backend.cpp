#include "kernels/cpu/portable/backend.hpp"

#include <array>

#include "kernels/cpu/portable/kernels.hpp"
#include "kernels/cpu/ranks/host_exchange.hpp"
#include "kernels/cpu/runtime/context.hpp"
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

class CpuExecutor final : public portable::Executor {
 public:
  CpuExecutor(const PortableKernels& kernels, int threads) : kernels_(kernels), threads_(threads) {}

  int in_turn(int count) const override { return count; }
  int lanes(int count) const override { return best_lanes(count, kernels_.widest_lanes); }

  using Executor::run;
#define KERNEL(Name)                                                    \
  void run(const portable::Name* kernels, std::size_t count) override { \
    for (std::size_t i = 0; i < count; ++i) {                           \
      share_out(kernels[i], kernels_.Name);                             \
    }                                                                   \
  }
#include "kernels/portable/kernel_list.hpp"

 private:
  // One range of the outer index a thread, so that none writes beside another's outputs; too little work for a second thread to
  // pay stays on the first.
  template <typename Kernel>
  void share_out(const Kernel& kernel, void (*run)(const Kernel&, int, int)) const {
    const portable::Units units = kernel.units();
    const std::int64_t work = std::int64_t{units.outer} * units.middle * units.inner * units.work;
    const auto outer = static_cast<std::size_t>(units.outer);
    parallel(outer, 1, work < kWorthAThread ? 1 : threads_, [&](const Range& range) {
      run(kernel, static_cast<int>(range.begin), static_cast<int>(range.end));
    });
  }
  static constexpr std::int64_t kWorthAThread = 20000;

  const PortableKernels& kernels_;
  int threads_;
};

class PortableBackend final : public HostBackend {
 public:
  PortableBackend(int threads, const PortableKernels& kernels)
      : threads_(threads), executor_(kernels, threads) {}

  DeviceInfo info(Libraries /*libraries*/) const override { return host_info(threads_); }
  void join(const RankPart& part) override {
    Backend::join(part);
    executor_.part = part;
  }
  std::unique_ptr<GradientExchange> prepare_exchange(const ExchangeDesc& desc) override {
    return make_host_exchange(desc, threads_);
  }
  std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool /*wants_dx*/) override {
    return portable::make_op(executor_, desc, batch);
  }
  void gather(const GatherArgs& args) override { portable::gather(executor_, args); }
  void update(const UpdateArgs& args) override { portable::update(executor_, args, now_.data()); }
  std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const override {
    return portable::update_workspace_bytes(matrices);
  }

 private:
  int threads_;
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
