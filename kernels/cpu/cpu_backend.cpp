// The CPU engine: oneDNN for convolutions and products, the project's own loops for the rest, one thread pool.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <new>
#include <omp.h>

#include "kernels/cpu/portable/backend.hpp"
#include "kernels/cpu/ranks/host_exchange.hpp"
#include "kernels/cpu/runtime/context.hpp"
#include "kernels/cpu/runtime/host_backend.hpp"

namespace trainer {

namespace cpu {

namespace {

class CpuBackend final : public HostBackend {
 public:
  CpuBackend(int threads, Precision precision)
      : engine_(dnnl::engine::kind::cpu, 0),
        context_{best_loops(),
                 {engine_, dnnl::stream(engine_)},
                 threads,
                 precision == Precision::bf16 ? bf16_loops() : nullptr} {
    // oneDNN's kernels wait for every thread that was requested: a smaller team would wait forever.
    omp_set_dynamic(0);
    if (omp_get_max_active_levels() < 1) omp_set_max_active_levels(1);
    omp_set_num_threads(threads);
  }

  DeviceInfo info(Libraries /*libraries*/) const override { return host_info(context_.threads); }

  void join(const RankPart& part) override {
    Backend::join(part);
    context_.part = part;
  }
  std::unique_ptr<GradientExchange> prepare_exchange(const ExchangeDesc& desc) override {
    return make_host_exchange(desc, context_.threads);
  }
  std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool wants_dx) override {
    omp_set_num_threads(context_.threads);
    try {
      return std::visit([&](const auto& d) { return make_op(context_, d, batch, wants_dx); }, desc);
    } catch (const dnnl::error& error) {
      throw BackendError(fmt::format("{}, batch {}: oneDNN: {} (status {})", describe(desc), batch,
                                     error.what(), static_cast<int>(error.status)));
    }
  }

  bool keeps_map_in_bf16(const OpDesc& desc, bool wants_dx, const OpDesc& next) const override {
    const auto* first = std::get_if<ConvDesc>(&desc);
    const auto* second = std::get_if<ConvDesc>(&next);
    return first != nullptr && second != nullptr && has_bf16_map_between(context_, *first, wants_dx, *second);
  }

  void gather(const GatherArgs& args) override {
    open_step(args.batching, *args.state);
    parallel(args.batching.batch, 8, context_.threads,
             [&](const Range& range) { context_.loops.gather(args, range.begin, range.end); });
  }

  void update(const UpdateArgs& args) override {
    StepState& state = *args.state;
    if (!std::isfinite(state.batch_loss) && state.first_bad_step == kNoBadStep)
      state.first_bad_step = state.step;
    if (state.first_bad_step == kNoBadStep) update_all(args);
    ++state.step;
  }
  std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const override {
    return muon_workspace_bytes(matrices);
  }

 private:
  void update_all(const UpdateArgs& args) {
    const std::uint64_t step = args.state->step;
    const std::uint64_t pass = epoch_of(args.batching, step);
    for (const Segment& segment : *args.segments) {
      const Optimizer& optimizer = (*args.optimizers)[segment.optimizer];
      const UpdateStep now = update_step(optimizer, args.schedule, step, pass);
      parallel(segment.count, kElementGrain, context_.threads, [&](const Range& range) {
        context_.loops.update(args, segment, optimizer, now, range.begin, range.end);
      });
    }
    if (args.matrices == nullptr) return;
    for (const WeightMatrix& matrix : *args.matrices) {
      const Optimizer& optimizer = (*args.optimizers)[matrix.segment.optimizer];
      update_matrix(context_, args, optimizer, update_step(optimizer, args.schedule, step, pass), matrix);
    }
  }

  dnnl::engine engine_;
  CpuContext context_;
};

}  // namespace

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  if (!cpu_has(options.precision)) {
    throw BackendError(
        options.precision == Precision::bf16
            ? fmt::format("this processor ({}) has no products of bf16, which came with AVX512-BF16; "
                          "choose fp32",
                          describe_cpu(1).instruction_set)
            : fmt::format("the CPU engine has no {}; choose fp32, or bf16 where the processor has it",
                          precision_name(options.precision)));
  }
  const int wanted = options.threads > 0 ? options.threads : cpu::usable_cores();
  const int threads = std::min(wanted, omp_get_thread_limit());
  if (options.bits == Bits::portable) return cpu::make_portable_backend(threads, options.precision);
  return std::make_unique<cpu::CpuBackend>(threads, options.precision);
}

}  // namespace trainer
