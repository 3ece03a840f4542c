// Dense products by cuBLASLt. The library's matrices are column-major, so x [n, in] is its x' [in, n], and
//   y' [out, n] = w'^T x'      dw' [in, out] = x' dy'^T      dx' [in, n] = w' dy'
// The gradient of a bias, the sum of dy over its rows, is a sum over the columns of dy', computed in the epilogue of
// the product for dw'. If the library has no such epilogue for a shape, a separate product with a vector of ones
// computes it.
//
// Precision: CUBLAS_COMPUTE_32F never rounds its inputs; CUBLAS_COMPUTE_32F_FAST_TF32 lets the library do it. Under
// fp16 and bf16 the inputs are of that type, and sums and the gradient of the weights are fp32.
// Reproducibility: the library gives the same bits every time with one algorithm, fixed in make(), a workspace of our
// own and one stream.
#include <algorithm>
#include <fmt/format.h>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/cuda/cublas/lt_matmul.hpp"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/library.hpp"

namespace trainer::cuda {

namespace {

std::string lt_version() {
  const std::size_t version = cublasLtGetVersion();  // 120403 is 12.4.3
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

// The workspace that the cuBLAS guide recommends for each architecture.
std::size_t recommended_workspace() {
  constexpr std::size_t kMiB = std::size_t{1} << 20U;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const int major = device_attribute(cudaDevAttrComputeCapabilityMajor, device);
  if (major == 9 || major == 10) return 32 * kMiB;
  return major == 12 ? 12 * kMiB : 4 * kMiB;
}

LtHandle open_handle() {
  return made<LtHandle>([](cublasLtHandle_t* out) {
    const cublasStatus_t status = cublasLtCreate(out);
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw BackendError(fmt::format(
        "cuBLASLt {} cannot be opened: {}; look whether another process holds the device's memory",
        lt_version(), status_text(status)));
  });
}

struct LtLibrary {
  cudaStream_t stream = nullptr;
  LtHandle lt = open_handle();
  std::size_t workspace_limit = recommended_workspace();
};

std::string describe(const LayerShape& s, const char* pass) {
  return fmt::format("{} of dense {} -> {} at batch {}, {}", pass, s.in.c, s.out, s.batch,
                     precision_name(s.precision));
}

cublasComputeType_t compute_type(Precision precision) {
  return precision == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

cudaDataType_t data_type(Element element) {
  if (element == Element::fp16) return CUDA_R_16F;
  return element == Element::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

Matmul require(const LtLibrary& library, const LayerShape& s, const MatmulShape& matmul, const char* pass) {
  std::optional<Matmul> found = Matmul::find(library.lt.get(), matmul, library.workspace_limit);
  if (found) return std::move(*found);
  throw BackendError(
      fmt::format("{}: cuBLASLt {} has no algorithm; try --device cpu", describe(s, pass), lt_version()));
}

// `count` ones on the device, of type `element`, ready for all later work on `stream`.
Handle<std::byte, cudaFree> ones(cudaStream_t stream, Element element, int count) {
  return visit_element(element, [&](auto of) {
    using T = typename decltype(of)::Type;
    const std::vector<T> values(static_cast<std::size_t>(count), static_cast<T>(1.0F));
    const std::size_t bytes = sizeof(T) * values.size();
    auto memory = made<Handle<std::byte, cudaFree>>([&](std::byte** out) {
      check(cudaMalloc(reinterpret_cast<void**>(out), bytes), "cudaMalloc of a vector of ones");
    });
    check(cudaMemcpyAsync(memory.get(), values.data(), bytes, cudaMemcpyHostToDevice, stream),
          "cudaMemcpyAsync");
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    return memory;
  });
}

class LtProduct final : public LayerPasses {
 public:
  LtProduct(const LtLibrary& library, const LayerShape& shape) : library_(library), shape_(shape) {
    // y' = w'^T x'
    MatmulShape y = matmul(shape.out, shape.batch, shape.in.c);
    y.transpose_a = true;
    y.outputs = y.inputs;
    forward_ = require(library_, shape_, y, "forward");
    make_backward_weights();
    MatmulShape dx = matmul(shape.in.c, shape.batch, shape.out);
    dx.outputs = dx.inputs;
    if (shape.wants_dx) backward_data_ = require(library_, shape_, dx, "data gradient");
    if (sum_bias_) ones_ = ones(library_.stream, element_of(shape.precision), shape.batch);
  }

  std::size_t workspace_bytes() const override {
    std::size_t most = 0;
    for (const std::optional<Matmul>* matmul : {&forward_, &backward_weights_, &sum_bias_, &backward_data_}) {
      if (*matmul) most = std::max(most, (*matmul)->workspace_bytes());
    }
    return most;
  }

  void forward(const void* x, const void* w, void* y, void* workspace) override {
    run(*forward_, {w, x, y, nullptr, workspace}, "forward");
  }

  void backward_weights(const void* x, const void* dy, void* dw, float* db, void* workspace) override {
    if (sum_bias_) run(*sum_bias_, {dy, ones_.get(), db, nullptr, workspace}, "bias gradient");
    run(*backward_weights_, {x, dy, dw, db, workspace}, "weight gradient");
  }

  void backward_data(const void* dy, const void* w, void* dx, void* workspace) override {
    if (!backward_data_) throw BackendError(describe(shape_, "data gradient") + " was not prepared");
    run(*backward_data_, {w, dy, dx, nullptr, workspace}, "data gradient");
  }

 private:
  // Inputs of the layer's element type, outputs fp32.
  MatmulShape matmul(int rows, int columns, int depth) const {
    return {.rows = rows,
            .columns = columns,
            .depth = depth,
            .inputs = data_type(element_of(shape_.precision)),
            .compute = compute_type(shape_.precision)};
  }

  // dw' = x' dy'^T with db in its epilogue, or db = dy' 1 as a separate product.
  void make_backward_weights() {
    MatmulShape dw = matmul(shape_.in.c, shape_.out, shape_.batch);
    dw.transpose_b = true;
    if (shape_.sums_dy) dw.epilogue = CUBLASLT_EPILOGUE_BGRADB;
    backward_weights_ = Matmul::find(library_.lt.get(), dw, library_.workspace_limit);
    if (backward_weights_) return;
    dw.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    backward_weights_ = require(library_, shape_, dw, "weight gradient");
    if (shape_.sums_dy) {
      MatmulShape db = matmul(shape_.out, 1, shape_.batch);
      db.compute = CUBLAS_COMPUTE_32F;
      sum_bias_ = require(library_, shape_, db, "bias gradient");
    }
  }

  void run(const Matmul& matmul, const MatmulArgs& args, const char* pass) const {
    const cublasStatus_t status = matmul.run(library_.lt.get(), library_.stream, args);
    if (status != CUBLAS_STATUS_SUCCESS) {
      throw BackendError(fmt::format("{} by cuBLASLt {} did not start: {}; try --device cpu",
                                     describe(shape_, pass), lt_version(), status_text(status)));
    }
  }

  const LtLibrary& library_;
  LayerShape shape_;
  std::optional<Matmul> forward_, backward_weights_, backward_data_;
  std::optional<Matmul> sum_bias_;    // if the library has no epilogue
  Handle<std::byte, cudaFree> ones_;  // [batch], for sum_bias_
};

class LtProducts final : public Library {
 public:
  explicit LtProducts(cudaStream_t stream) : library_{.stream = stream} {}

  std::unique_ptr<LayerPasses> make(const LayerShape& shape) override {
    return std::make_unique<LtProduct>(library_, shape);
  }

 private:
  LtLibrary library_;
};

}  // namespace

std::unique_ptr<Library> open_products(cudaStream_t stream) {
  return std::make_unique<LtProducts>(stream);
}

std::string products_version() {
  try {
    return lt_version();
  } catch (const BackendError&) {
    return "";  // an op that needs the library reports why
  }
}

}  // namespace trainer::cuda
