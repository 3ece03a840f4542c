// ReLU, GELU, leaky ReLU and dropout as layers of their own. The dropout mask is made anew in backward: it costs less
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

// An activation's function of one element, and the gradient that it lets through: dx, of dy and of what it keeps,
// which is x or y.
struct ReluFunction {
  static constexpr bool kKeepsY = true;
  __device__ float operator()(float x) const { return relu(x); }
  __device__ float gradient(float y, float dy) const { return y > 0 ? dy : 0.0F; }
};

struct GeluFunction {
  static constexpr bool kKeepsY = false;
  __device__ float operator()(float x) const { return gelu(x); }
  __device__ float gradient(float x, float dy) const { return dy * gelu_derivative(x); }
};

struct LeakyReluFunction {
  static constexpr bool kKeepsY = false;
  float slope;
  __device__ float operator()(float x) const { return x > 0 ? x : slope * x; }
  __device__ float gradient(float x, float dy) const { return x > 0 ? dy : slope * dy; }
};

template <typename T, typename Function>
__global__ void activation(const T* x, T* y, std::size_t count, Function f) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    y[i] = static_cast<T>(f(static_cast<float>(x[i])));
}

template <typename T, typename Function>
__global__ void activation_backward(const T* kept, const T* dy, T* dx, std::size_t count, Function f) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    dx[i] = static_cast<T>(f.gradient(static_cast<float>(kept[i]), static_cast<float>(dy[i])));
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

template <typename T, typename Function>
class Activation final : public Op {
 public:
  Activation(const CudaContext& context, const OpDesc& desc, int batch, const Function& function)
      : Op(desc, batch),
        context_(context),
        function_(function),
        count_(static_cast<std::size_t>(batch) * in_shape(desc).size()) {}

 private:
  void run_forward(const OpArgs& args) override {
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "activation", activation<T, Function>,
           static_cast<const T*>(args.x), static_cast<T*>(args.y), count_, function_);
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "activation_backward",
           activation_backward<T, Function>, static_cast<const T*>(Function::kKeepsY ? args.y : args.x),
           static_cast<const T*>(args.dy), static_cast<T*>(args.dx), count_, function_);
  }

  const CudaContext& context_;
  Function function_;
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

template <typename Function>
std::unique_ptr<Op> make_activation(const CudaContext& context, const OpDesc& desc, int batch,
                                    const Function& function) {
  return visit_element(context.element, [&](auto of) -> std::unique_ptr<Op> {
    return std::make_unique<Activation<typename decltype(of)::Type, Function>>(context, desc, batch,
                                                                               function);
  });
}

}  // namespace

std::unique_ptr<Op> make_op(const CudaContext& context, const ReluDesc& desc, int batch, bool /*wants_dx*/) {
  return make_activation(context, desc, batch, ReluFunction{});
}

std::unique_ptr<Op> make_op(const CudaContext& context, const GeluDesc& desc, int batch, bool /*wants_dx*/) {
  return make_activation(context, desc, batch, GeluFunction{});
}

std::unique_ptr<Op> make_op(const CudaContext& context, const LeakyReluDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return make_activation(context, desc, batch, LeakyReluFunction{desc.slope});
}

std::unique_ptr<Op> make_op(const CudaContext& context, const DropoutDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return visit_element(context.element, [&](auto of) -> std::unique_ptr<Op> {
    return std::make_unique<Dropout<typename decltype(of)::Type>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
