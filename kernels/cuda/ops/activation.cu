// ReLU, GELU, leaky ReLU and dropout as separate layers. Backward recomputes the dropout mask, which costs less than reading it.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/math/dropout.hpp"
#include "kernels/math/gelu.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 4096;

// Functions of element number i, and their gradient dx from dy and what they keep, which is x or y.
struct ReluFunction {
  static constexpr bool kKeepsY = true;
  __device__ float operator()(float x, unsigned /*i*/) const { return relu(x); }
  __device__ float gradient(float y, float dy, unsigned /*i*/) const { return y > 0 ? dy : 0.0F; }
};

struct GeluFunction {
  static constexpr bool kKeepsY = false;
  __device__ float operator()(float x, unsigned /*i*/) const { return gelu(x); }
  __device__ float gradient(float x, float dy, unsigned /*i*/) const { return dy * gelu_derivative(x); }
};

struct LeakyReluFunction {
  static constexpr bool kKeepsY = false;
  float slope;
  __device__ float operator()(float x, unsigned /*i*/) const { return x > 0 ? x : slope * x; }
  __device__ float gradient(float x, float dy, unsigned /*i*/) const { return x > 0 ? dy : slope * dy; }
};

struct DropoutFunction {
  static constexpr bool kKeepsY = false;  // backward reads neither x nor y
  DropoutDesc desc;
  const StepState* state = nullptr;  // null in inference
  __device__ float operator()(float x, unsigned i) const {
    if (state == nullptr) return x;
    const std::uint64_t element = std::uint64_t{state->first_row} * (desc.in.h * desc.in.w * desc.in.c) + i;
    return x * dropout_factor(desc.drop, state->seed, desc.stream, state->step, element);
  }
  __device__ float gradient(float /*x*/, float dy, unsigned i) const { return (*this)(dy, i); }
};

template <typename T, typename Function>
__global__ void activation(const T* x, T* y, unsigned count, Function f) {
  for (unsigned i = grid_index(); i < count; i += grid_stride())
    y[i] = static_cast<T>(f(static_cast<float>(x[i]), i));
}

template <typename T, typename Function>
__global__ void activation_backward(const T* kept, const T* dy, T* dx, unsigned count, Function f) {
  for (unsigned i = grid_index(); i < count; i += grid_stride())
    dx[i] = static_cast<T>(f.gradient(static_cast<float>(kept[i]), static_cast<float>(dy[i]), i));
}

template <typename T, typename Function>
class Activation final : public Op {
 public:
  Activation(const CudaContext& context, const OpDesc& desc, int batch, const Function& function)
      : Op(desc, batch),
        context_(context),
        function_(function),
        count_(static_cast<unsigned>(static_cast<std::size_t>(batch) * in_shape(desc).size())) {}

 private:
  Function function(const OpArgs& args) const {
    Function f = function_;
    if constexpr (requires { f.state; }) f.state = args.mode == Mode::training ? args.state : nullptr;
    return f;
  }

  void run_forward(const OpArgs& args) override {
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "activation", activation<T, Function>,
           static_cast<const T*>(args.x), static_cast<T*>(args.y), count_, function(args));
  }
  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    launch(context_.stream, cover(count_, kThreads, kMostBlocks), "activation_backward",
           activation_backward<T, Function>, static_cast<const T*>(Function::kKeepsY ? args.y : args.x),
           static_cast<const T*>(args.dy), static_cast<T*>(args.dx), count_, function(args));
  }

  const CudaContext& context_;
  Function function_;
  unsigned count_;
};

template <typename Function>
std::unique_ptr<Op> make_activation(const CudaContext& context, const OpDesc& desc, int batch,
                                    const Function& function) {
  return visit_element(context.element, [&]<typename T>(ElementType<T>) -> std::unique_ptr<Op> {
    return std::make_unique<Activation<T, Function>>(context, desc, batch, function);
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
  return make_activation(context, desc, batch, DropoutFunction{desc});
}

}  // namespace trainer::cuda
