// What the CUDA engine's ops share, owned by the backend, and how an op is made.
#pragma once

#include <memory>

#include "kernels/backend.hpp"
#include "kernels/cuda/cublas/product.hpp"
#include "kernels/cuda/cudnn/convolution.hpp"
#include "kernels/cuda/runtime/launch.hpp"
#include "kernels/cuda/runtime/on_first_use.hpp"
#include "kernels/op.hpp"

namespace trainer::cuda {

constexpr unsigned kTickets = 256;
constexpr unsigned kBarrierWords = 32;  // its line of memory

struct CudaContext {
  LaunchQueue stream;
  unsigned multiprocessors = 1;
  Precision precision = Precision::fp32;
  Element element = Element::fp32;  // of maps
  float loss_scale = 1;             // of the head's gradient, and so of all gradients
  bool libraries = false;           // CudaOptions
  OnFirstUse<Convolutions> convolutions;
  OnFirstUse<Products> products;
  // On the device, kTickets of them, 0 between kernels: blocks count themselves off here, and the last one
  // adds up what all have written (last_block.cuh). Behind them, on a line of memory of its own, the word at
  // which the blocks of a cooperative launch wait for one another (grid_barrier.cuh). Kernels of a stream
  // follow one another and share all of it. Two kernels at the same time must not: a second stream, or a
  // branch of a graph, needs a CudaContext with tickets and a barrier of its own, and its ops a workspace
  // that is not Network's one.
  unsigned* ticket = nullptr;
  unsigned* barrier = nullptr;
};

// The engine's op for each description; the files that define them have the stems of kernels/cpu/ops/.
#define TRAINER_CUDA_OP(Name) \
  std::unique_ptr<Op> make_op(const CudaContext& context, const Name##Desc& desc, int batch, bool wants_dx);
TRAINER_OPS(TRAINER_CUDA_OP)
#undef TRAINER_CUDA_OP

// Whether make_one_channel_conv has a kernel for it: one channel, stride 1, no dx, a kernel size and a pool as the
// shipped networks have them.
bool is_one_channel_conv(const ConvDesc& desc, bool wants_dx);
std::unique_ptr<Op> make_one_channel_conv(const CudaContext& context, const ConvDesc& desc, int batch);
// Null where it is not small, has no such operands (has_patches) or is to be a library's.
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
