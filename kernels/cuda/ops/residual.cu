// The sums at the ends of a residual block, in fp32: a kernel that reads each element of two maps once.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"

namespace trainer::cuda {

namespace {

template <typename T>
__global__ void add_skip(const T* x, const T* skip, T* y, unsigned count) {
  for (unsigned i = grid_index(); i < count; i += grid_stride())
    y[i] = static_cast<T>(static_cast<float>(x[i]) + static_cast<float>(skip[i]));
}

template <typename T>
class Residual final : public Op {
 public:
  Residual(const CudaContext& context, const ResidualDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        count_(static_cast<unsigned>(static_cast<std::size_t>(batch) * desc.in.size())) {}

 private:
  void add(const void* x, const void* skip, void* y) const {
    constexpr unsigned kBlockThreads = 256, kMost = 4096;
    launch(context_.stream, cover(count_, kBlockThreads, kMost), "add_skip", add_skip<T>,
           static_cast<const T*>(x), static_cast<const T*>(skip), static_cast<T*>(y), count_);
  }
  void run_forward(const OpArgs& args) override { add(args.x, args.skip, args.y); }
  void run_backward(const OpArgs& args) override {
    if (args.dx != nullptr) add(args.dy, args.skip, args.dx);
  }

  const CudaContext& context_;
  unsigned count_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CudaContext& context, const ResidualDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return visit_element(context.element, [&]<typename T>(ElementType<T>) -> std::unique_ptr<Op> {
    return std::make_unique<Residual<T>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
