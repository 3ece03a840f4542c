// Replaces cuBLASLt: implements open_products() of kernels/cuda/runtime/library.hpp by plain loops over float, in one fixed order. Forward
// reads a copy of the weights in its workspace, with the output innermost.
#include <algorithm>
#include <fmt/format.h>

#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/library.hpp"
#include "tests/emulator/emulator.hpp"
#include "tests/emulator/rounding.hpp"

namespace trainer::cuda {
namespace {

using ::emulator::add_scaled;
using ::emulator::Input;
using ::emulator::Output;

struct Sizes {
  explicit Sizes(const LayerShape& shape)
      : batch(static_cast<std::size_t>(shape.batch)),
        in(shape.in.size()),
        out(static_cast<std::size_t>(shape.out)),
        precision(shape.precision) {}

  std::size_t batch;
  std::size_t in;
  std::size_t out;
  Precision precision;
};

// A bias's gradient sums the stored values, not the values that a product rounds them to.
Precision unrounded(Precision precision) {
  return precision == Precision::tf32 ? Precision::fp32 : precision;
}

void run_forward(const Sizes& size, const void* x_given, const void* w_given, void* y, float* turned) {
  const Input x(x_given, size.batch * size.in, size.precision);
  const Input w(w_given, size.out * size.in, size.precision);
  for (std::size_t o = 0; o < size.out; ++o) {
    for (std::size_t i = 0; i < size.in; ++i) turned[i * size.out + o] = w.data()[o * size.in + i];
  }
  Output result(size.batch * size.out);
  for (std::size_t n = 0; n < size.batch; ++n) {
    float* row = result.data() + n * size.out;
    for (std::size_t i = 0; i < size.in; ++i) {
      add_scaled(row, turned + i * size.out, size.out, x.data()[n * size.in + i]);
    }
  }
  result.store(y, element_of(size.precision));
}

void run_weights(const Sizes& size, const void* x_given, const void* dy_given, float* dw, float* db) {
  const Input x(x_given, size.batch * size.in, size.precision);
  const Input dy(dy_given, size.batch * size.out, size.precision);
  const Input summed(dy_given, size.batch * size.out, unrounded(size.precision));
  std::fill_n(dw, size.out * size.in, 0.0F);
  if (db != nullptr) std::fill_n(db, size.out, 0.0F);
  for (std::size_t n = 0; n < size.batch; ++n) {
    if (db != nullptr) add_scaled(db, summed.data() + n * size.out, size.out, 1.0F);
    for (std::size_t o = 0; o < size.out; ++o) {
      add_scaled(dw + o * size.in, x.data() + n * size.in, size.in, dy.data()[n * size.out + o]);
    }
  }
}

void run_data(const Sizes& size, const void* dy_given, const void* w_given, void* dx) {
  const Input dy(dy_given, size.batch * size.out, size.precision);
  const Input w(w_given, size.out * size.in, size.precision);
  Output result(size.batch * size.in);
  for (std::size_t n = 0; n < size.batch; ++n) {
    for (std::size_t o = 0; o < size.out; ++o) {
      add_scaled(result.data() + n * size.in, w.data() + o * size.in, size.in, dy.data()[n * size.out + o]);
    }
  }
  result.store(dx, element_of(size.precision));
}

class EmulatedProduct final : public LayerPasses {
 public:
  EmulatedProduct(const LayerShape& shape, cudaStream_t stream) : shape_(shape), stream_(stream) {}

  std::size_t workspace_bytes() const override { return shape_.in.size() * shape_.out * sizeof(float); }

  void forward(const void* x, const void* w, void* y, void* workspace) override {
    if (workspace == nullptr) throw BackendError("product forward: no workspace");
    auto* turned = static_cast<float*>(workspace);
    queue("product forward", [=, size = Sizes(shape_)] { run_forward(size, x, w, y, turned); });
  }

  void backward_weights(const void* x, const void* dy, void* dw, float* db, void*) override {
    if (shape_.sums_dy && db == nullptr)
      throw BackendError("product backward weights: no place for the bias's gradient");
    float* sums = shape_.sums_dy ? db : nullptr;
    queue("product backward weights",
          [=, size = Sizes(shape_)] { run_weights(size, x, dy, static_cast<float*>(dw), sums); });
  }

  void backward_data(const void* dy, const void* w, void* dx, void*) override {
    if (!shape_.wants_dx) throw BackendError("product backward data: made without wants_dx");
    queue("product backward data", [=, size = Sizes(shape_)] { run_data(size, dy, w, dx); });
  }

 private:
  template <typename Run>
  void queue(const char* name, Run run) {
    check(::emulator::enqueue(stream_, name, std::move(run), this), name);
  }

  LayerShape shape_;
  cudaStream_t stream_;
};

class EmulatedProducts final : public Library {
 public:
  explicit EmulatedProducts(cudaStream_t stream) : stream_(stream) {}

  std::unique_ptr<LayerPasses> make(const LayerShape& shape) override {
    if (shape.batch <= 0 || shape.in.c <= 0 || shape.out <= 0) {
      throw BackendError(
          fmt::format("product of {} rows from {} to {}: no such shape", shape.batch, shape.in.c, shape.out));
    }
    return std::make_unique<EmulatedProduct>(shape, stream_);
  }

 private:
  cudaStream_t stream_;
};

}  // namespace

std::unique_ptr<Library> open_products(cudaStream_t stream) {
  check(::emulator::library_call("cublasLtCreate"), "cublasLtCreate");
  return std::make_unique<EmulatedProducts>(stream);
}

std::string products_version() {
  return "emulated";
}

}  // namespace trainer::cuda
