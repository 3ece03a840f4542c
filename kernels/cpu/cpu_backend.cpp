// The CPU engine: oneDNN for convolutions and products, the project's own loops for the rest.
#include <fmt/format.h>
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
  CpuBackend(int threads, bool as_shards, Precision precision)
      : HostBackend(threads, [] { omp_set_num_threads(1); }),  // oneDNN computes on the thread that calls it
        engine_(dnnl::engine::kind::cpu, 0),
        scratch_(threads),
        context_{best_loops(),
                 {engine_, dnnl::stream(engine_), static_cast<std::size_t>(threads)},
                 stream_,
                 scratch_,
                 precision == Precision::bf16 ? bf16_loops() : nullptr},
        as_shards_(as_shards) {}

  DeviceInfo info(Libraries /*libraries*/) const override {
    DeviceInfo info = host_info();
    info.cpu.as_shards = as_shards_;
    return info;
  }

  void join(const RankPart& part) override {
    Backend::join(part);
    context_.part = part;
  }
  std::unique_ptr<GradientExchange> prepare_exchange(const ExchangeDesc& desc) override {
    return make_host_exchange(desc, stream_);
  }
  std::unique_ptr<Op> prepare(const OpDesc& desc, int batch, bool wants_dx) override {
    omp_set_num_threads(1);  // primitives are made for one thread
    try {
      return std::visit([&](const auto& d) { return make_op(context_, d, batch, wants_dx); }, desc);
    } catch (const dnnl::error& error) {
      fail(error.status, fmt::format("{}, batch {}: {}", describe(desc), batch, error.what()));
    }
  }

  bool keeps_map_in_bf16(const OpDesc& desc, bool wants_dx, const OpDesc& next) const override {
    const auto* first = std::get_if<ConvDesc>(&desc);
    const auto* second = std::get_if<ConvDesc>(&next);
    return first != nullptr && second != nullptr && has_bf16_map_between(context_, *first, wants_dx, *second);
  }

  bool chains_shards() const override { return true; }
  void gather(const GatherArgs& args) override {
    stream_.serial([args] { open_step(args.batching, *args.state); });
    for_shards(context_, static_cast<int>(args.batching.batch),
               [this, args](const Shard& shard) { context_.loops.gather(args, shard.begin, shard.end); });
  }

  void update(const UpdateArgs& args) override { append_update(context_, args); }
  void average(const AverageArgs& args) override { append_average(context_, args); }
  std::size_t update_workspace_bytes(const std::vector<WeightMatrix>& matrices) const override {
    return update_workspace_bytes_of(matrices);
  }

 private:
  dnnl::engine engine_;
  Scratch scratch_;
  CpuContext context_;
  bool as_shards_;
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
  int threads = options.threads > 0 ? options.threads : cpu::usable_cores();
  if (options.bits == Bits::portable) return cpu::make_portable_backend(threads, options.precision);
  const int shards = cpu::shard_count(options.batch);
  const bool as_shards = options.threads == 0 && options.batch > 0 && threads > shards;
  if (as_shards) threads = shards;
  return std::make_unique<cpu::CpuBackend>(threads, as_shards, options.precision);
}

}  // namespace trainer
