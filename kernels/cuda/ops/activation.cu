// ReLU, GELU and dropout as layers of their own. The dropout mask is made anew in backward: it costs less
// than reading it.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/grid.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/math/dropout.hpp"
#include "kernels/math/gelu.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 4096;

template <typename T>
__global__ void relu_forward(const T* x, T* y, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    y[i] = static_cast<T>(relu(static_cast<float>(x[i])));
}

template <typename T>
__global__ void relu_backward(const T* y, const T* dy, T* dx, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    dx[i] = static_cast<T>(through_relu(true, y, dy, i));
}

template <typename T>
__global__ void gelu_forward(const T* x, T* y, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    y[i] = static_cast<T>(gelu(static_cast<float>(x[i])));
}

template <typename T>
__global__ void gelu_backward(const T* x, const T* dy, T* dx, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    dx[i] = static_cast<T>(static_cast<float>(dy[i]) * gelu_derivative(static_cast<float>(x[i])));
}

// to = from times the mask: y of x, and dx of dy.
template <typename T>
__global__ void apply_dropout(const T* from, T* to, std::size_t count, DropoutDesc desc,
                              const StepState* state) {
  const std::uint64_t seed = state->seed;
  const std::uint64_t step = state->step;
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) {
    const float kept = dropout_factor(desc.drop, seed, desc.stream, step, i);
    to[i] = static_cast<T>(static_cast<float>(from[i]) * kept);
  }
}

template <typename T>
__global__ void dropout_inference(const T* from, T* to, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) to[i] = from[i];
}

template <typename T>
class Relu final : public Op {
 public:
  Relu(const CudaContext& context, const ReluDesc& desc, int batch)
      : Op(desc, batch), context_(context), count_(static_cast<std::size_t>(batch) * desc.in.size()) {}

 private:
  void run_forward(const OpArgs& args) override {
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "relu_forward", relu_forward<T>,
           static_cast<const T*>(args.x), static_cast<T*>(args.y), count_);
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "relu_backward", relu_backward<T>,
           static_cast<const T*>(args.y), static_cast<const T*>(args.dy), static_cast<T*>(args.dx), count_);
  }

  const CudaContext& context_;
  std::size_t count_;
};

template <typename T>
class Gelu final : public Op {
 public:
  Gelu(const CudaContext& context, const GeluDesc& desc, int batch)
      : Op(desc, batch), context_(context), count_(static_cast<std::size_t>(batch) * desc.in.size()) {}

 private:
  void run_forward(const OpArgs& args) override {
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "gelu_forward", gelu_forward<T>,
           static_cast<const T*>(args.x), static_cast<T*>(args.y), count_);
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "gelu_backward", gelu_backward<T>,
           static_cast<const T*>(args.x), static_cast<const T*>(args.dy), static_cast<T*>(args.dx), count_);
  }

  const CudaContext& context_;
  std::size_t count_;
};

template <typename T>
class Dropout final : public Op {
 public:
  Dropout(const CudaContext& context, const DropoutDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        dropout_(desc),
        count_(static_cast<std::size_t>(batch) * desc.in.size()) {}

 private:
  void run_forward(const OpArgs& args) override {
    if (args.mode == Mode::training) {
      apply(args.x, args.y, args.state);
    } else {
      launch(context_.stream, cover(count_, kThreads, kMostBlocks), "dropout_inference", dropout_inference<T>,
             static_cast<const T*>(args.x), static_cast<T*>(args.y), count_);
    }
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx != nullptr) apply(args.dy, args.dx, args.state);
  }
  void apply(const void* from, void* to, const StepState* state) const {
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "apply_dropout", apply_dropout<T>,
           static_cast<const T*>(from), static_cast<T*>(to), count_, dropout_, state);
  }

  const CudaContext& context_;
  DropoutDesc dropout_;
  std::size_t count_;
};

}  // namespace

std::unique_ptr<Op> make_relu(const CudaContext& context, const ReluDesc& desc, int batch) {
  return visit_element(context.element, [&](auto of) -> std::unique_ptr<Op> {
    return std::make_unique<Relu<typename decltype(of)::Type>>(context, desc, batch);
  });
}

std::unique_ptr<Op> make_gelu(const CudaContext& context, const GeluDesc& desc, int batch) {
  return visit_element(context.element, [&](auto of) -> std::unique_ptr<Op> {
    return std::make_unique<Gelu<typename decltype(of)::Type>>(context, desc, batch);
  });
}

std::unique_ptr<Op> make_dropout(const CudaContext& context, const DropoutDesc& desc, int batch) {
  return visit_element(context.element, [&](auto of) -> std::unique_ptr<Op> {
    return std::make_unique<Dropout<typename decltype(of)::Type>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
