// ReLU and dropout as layers of their own. The dropout mask is made anew in backward: it costs less than
// reading it.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/grid.cuh"
#include "kernels/math/dropout.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 4096;

__global__ void relu_forward(const float* x, float* y, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) y[i] = relu(x[i]);
}

__global__ void relu_backward(const float* y, const float* dy, float* dx, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) dx[i] = y[i] > 0 ? dy[i] : 0.0F;
}

// to = from times the mask: y of x, and dx of dy.
__global__ void apply_dropout(const float* from, float* to, std::size_t count, DropoutDesc desc,
                              const StepState* state) {
  const std::uint64_t seed = state->seed;
  const std::uint64_t step = state->step;
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) {
    to[i] = from[i] * dropout_factor(desc.drop, seed, desc.stream, step, i);
  }
}

__global__ void dropout_inference(const float* from, float* to, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) to[i] = from[i];
}

class Relu final : public Op {
 public:
  Relu(const CudaContext& context, const ReluDesc& desc, int batch)
      : Op(desc, batch), context_(context), count_(static_cast<std::size_t>(batch) * desc.in.size()) {}

 private:
  void run_forward(const OpArgs& args) override {
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "relu_forward", relu_forward, args.x,
           args.y, count_);
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "relu_backward", relu_backward, args.y,
           args.dy, args.dx, count_);
  }

  const CudaContext& context_;
  std::size_t count_;
};

class Dropout final : public Op {
 public:
  Dropout(const CudaContext& context, const DropoutDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        dropout_(desc),
        count_(static_cast<std::size_t>(batch) * desc.in.size()) {}

 private:
  void run_forward(const OpArgs& args) override {
    const LaunchShape shape = cover(count_, kThreads, kMostBlocks);
    if (args.mode == Mode::inference) {
      launch(context_.stream, shape, "dropout_inference", dropout_inference, args.x, args.y, count_);
    } else {
      launch(context_.stream, shape, "apply_dropout", apply_dropout, args.x, args.y, count_, dropout_,
             args.state);
    }
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "apply_dropout", apply_dropout, args.dy,
           args.dx, count_, dropout_, args.state);
  }

  const CudaContext& context_;
  DropoutDesc dropout_;
  std::size_t count_;
};

}  // namespace

std::unique_ptr<Op> make_relu(const CudaContext& context, const ReluDesc& desc, int batch) {
  return std::make_unique<Relu>(context, desc, batch);
}

std::unique_ptr<Op> make_dropout(const CudaContext& context, const DropoutDesc& desc, int batch) {
  return std::make_unique<Dropout>(context, desc, batch);
}

}  // namespace trainer::cuda
