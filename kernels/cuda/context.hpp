// The state that the CUDA engine's ops share, owned by the backend, and the functions that make ops.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "kernels/backend.hpp"
#include "kernels/cuda/runtime/launch.hpp"
#include "kernels/cuda/runtime/library.hpp"
#include "kernels/op.hpp"

namespace trainer::cuda {

// A library that is opened by the first op that needs it: a network without such an op never loads its code nor
// allocates its memory.
//   OnFirstUse products{[stream] { return open_products(stream); }};
//   products->make(shape);  // opens it, or throws what opening threw
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
constexpr unsigned kBarrierWords = 32;  // one cache line

struct CudaContext {
  LaunchQueue stream;
  unsigned multiprocessors = 1;
  Precision precision = Precision::fp32;
  Element element = Element::fp32;  // element type of maps in memory
  float loss_scale = 1;             // factor of the head's gradient, and therefore of all gradients
  bool libraries = false;           // CudaOptions
  RankPart part = {};               // its ranks are for the device's memory
  OnFirstUse convolutions;
  OnFirstUse products;  // dense layers
  // kTickets arrival counters on the device, 0 between kernels: the last block to arrive adds up what all blocks have
  // written. After them, on a cache line of its own, comes the word at which the blocks of a cooperative launch wait
  // for one another (grid_barrier.cuh). Kernels of one stream run one after the other and share all of it; concurrent
  // kernels must not. A second stream, or a branch of a graph, needs a CudaContext with its own tickets and barrier,
  // and its ops need a workspace other than Network's.
  unsigned* ticket = nullptr;
  unsigned* barrier = nullptr;
};

// Makes the engine's op for a description; the files that define these functions are named as in kernels/cpu/ops/.
#define TRAINER_CUDA_OP(Name) \
  std::unique_ptr<Op> make_op(const CudaContext& context, const Name##Desc& desc, int batch, bool wants_dx);
TRAINER_OPS(TRAINER_CUDA_OP)
#undef TRAINER_CUDA_OP

// Layers that a single op of our own computes; each make_ function takes only what its predicate accepts.
// One input channel, stride 1, no dx, and the kernel and pool sizes of the shipped networks; with a normalisation, the
// number of channels is limited as well.
bool is_one_channel_conv(const ConvDesc& desc, bool wants_dx);
std::unique_ptr<Op> make_one_channel_conv(const CudaContext& context, const ConvDesc& desc, int batch);
bool is_first_norm(const NormalisedDesc& desc, bool wants_dx);
std::unique_ptr<Op> make_first_norm(const CudaContext& context, const NormalisedDesc& desc, int batch);
// Implicit GEMMs (has_patches) with a normalisation, if all blocks of forward can run at the same time.
bool is_product_norm(const CudaContext& context, const NormalisedDesc& desc, int batch);
std::unique_ptr<Op> make_product_norm(const CudaContext& context, const NormalisedDesc& desc, int batch);
// Null if the convolution or dense layer is not small, has no such operands, or is left to a library.
std::unique_ptr<Op> make_small_product(const CudaContext& context, const OpDesc& product, int batch);
// Whether make_op has kernels for it (Backend::fuses).
bool fuses_norm(const CudaContext& context, const NormalisedDesc& desc, int batch, bool wants_dx);

// These open and close a step (backend.hpp).
void launch_gather(const CudaContext& context, const GatherArgs& args);
void launch_gather_augmented(const CudaContext& context, const GatherArgs& args);
void launch_update(const CudaContext& context, const UpdateArgs& args);
void launch_average(const CudaContext& context, const AverageArgs& args);
// Launches an update that takes weights as matrices; `terms` says what else it does.
struct UpdateTerms;
// Works out the factor of the gradients as they are stored, at the start of the update's workspace; returns where it will be.
constexpr std::size_t kClipBytes = 2048;
const double* launch_gradient_norm(const CudaContext& context, const UpdateArgs& args,
                                   const UpdateTerms& terms);
void launch_muon(const CudaContext& context, const UpdateArgs& args, const UpdateTerms& terms);
std::size_t update_workspace_bytes(const CudaContext& context, const std::vector<WeightMatrix>& matrices);
// to[i] = from[i] cast to the context's element type.
void launch_cast(const CudaContext& context, const float* from, void* to, std::size_t count);
// The reverse, of `count` elements.
void launch_widen(const CudaContext& context, const void* from, float* to, std::size_t count);
void launch_advance(const CudaContext& context, StepState* state);

}  // namespace trainer::cuda
