// What the CUDA engine's ops share, owned by the backend, and how an op is made.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "kernels/backend.hpp"
#include "kernels/cuda/cublas/product.hpp"
#include "kernels/cuda/cudnn/convolution.hpp"
#include "kernels/cuda/runtime/launch.hpp"
#include "kernels/op.hpp"

namespace trainer::cuda {

// A library that is opened by the first op that needs it: a network without such an op leaves it closed, with its
// code unloaded and its memory free.
//   OnFirstUse<Products> products{[stream] { return open_products(stream); }};
//   products->make(shape);  // opens it, or throws what opening threw
template <typename Library>
class OnFirstUse {
 public:
  explicit OnFirstUse(std::function<std::unique_ptr<Library>()> open) : open_(std::move(open)) {}

  bool is_open() const { return library_ != nullptr; }
  int uses() const { return uses_; }
  Library* operator->() const {
    ++uses_;
    if (!library_) library_ = open_();
    return library_.get();
  }

 private:
  std::function<std::unique_ptr<Library>()> open_;
  mutable std::unique_ptr<Library> library_;
  mutable int uses_ = 0;
};

constexpr unsigned kTickets = 256;
constexpr unsigned kBarrierWords = 32;  // its line of memory

struct CudaContext {
  LaunchQueue stream;
  unsigned multiprocessors = 1;
  Precision precision = Precision::fp32;
  Element element = Element::fp32;  // that maps are stored in
  float loss_scale = 1;             // the head's gradient is multiplied by it, and so all gradients are
  bool libraries = false;           // CudaOptions
  OnFirstUse<Convolutions> convolutions;
  OnFirstUse<Products> products;
  // kTickets counters on the device, 0 between kernels: blocks count themselves there, and the last one adds up
  // what all have written. After them, on a line of memory of its own, comes the word at which the blocks of a
  // cooperative launch wait for one another (grid_barrier.cuh). Kernels of a stream run one after the other and
  // share all of it. Two kernels at the same time must not: a second stream, or a branch of a graph, needs a
  // CudaContext with tickets and a barrier of its own, and its ops a workspace other than Network's.
  unsigned* ticket = nullptr;
  unsigned* barrier = nullptr;
};

// The engine's op for each description; the files that define them have the stems of kernels/cpu/ops/.
#define TRAINER_CUDA_OP(Name) \
  std::unique_ptr<Op> make_op(const CudaContext& context, const Name##Desc& desc, int batch, bool wants_dx);
TRAINER_OPS(TRAINER_CUDA_OP)
#undef TRAINER_CUDA_OP

// Layers that one op of ours makes; each maker takes only what its predicate accepts.
// One channel, stride 1, no dx, and a kernel and pool of sizes that the shipped networks have; with a normalisation
// only few enough channels.
bool is_one_channel_conv(const ConvDesc& desc, bool wants_dx);
std::unique_ptr<Op> make_one_channel_conv(const CudaContext& context, const ConvDesc& desc, int batch);
bool is_first_norm(const NormalisedDesc& desc, bool wants_dx);
std::unique_ptr<Op> make_first_norm(const CudaContext& context, const NormalisedDesc& desc, int batch);
// Products as implicit GEMMs (has_patches) with a normalisation, whose blocks of forward run at the same time.
bool is_product_norm(const CudaContext& context, const NormalisedDesc& desc, int batch);
std::unique_ptr<Op> make_product_norm(const CudaContext& context, const NormalisedDesc& desc, int batch);
// Null where the layer is not small, has no such operands or is to be a library's.
std::unique_ptr<Op> make_small_product(const CudaContext& context, const ConvDesc& desc, int batch);
std::unique_ptr<Op> make_small_product(const CudaContext& context, const DenseDesc& desc, int batch);
// Whether make_op has kernels for it (Backend::fuses).
bool fuses_norm(const CudaContext& context, const NormalisedDesc& desc, int batch, bool wants_dx);

// Opens and closes a step (backend.hpp).
void launch_gather(const CudaContext& context, const GatherArgs& args);
void launch_update(const CudaContext& context, const UpdateArgs& args);
// The launch of an update that takes weights as matrices; `terms` say what else it does.
struct UpdateTerms;
void launch_muon(const CudaContext& context, const UpdateArgs& args, const UpdateTerms& terms);
std::size_t muon_workspace_bytes(const CudaContext& context, const std::vector<WeightMatrix>& matrices);
// to[i] = from[i] cast to the context's element type.
void launch_cast(const CudaContext& context, const float* from, void* to, std::size_t count);
void launch_advance(const CudaContext& context, StepState* state);

}  // namespace trainer::cuda
