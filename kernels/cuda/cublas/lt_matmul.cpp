#include "kernels/cuda/cublas/lt_matmul.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include "kernels/backend.hpp"

namespace trainer::cuda {

namespace {

// Throws BackendError if the library is not found.
void* cublas_library() {
  static void* const library = [] {
    const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
    void* loaded = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (loaded != nullptr) return loaded;
    const char* reason = dlerror();
    throw BackendError(
        fmt::format("cuBLASLt cannot be loaded: {}; install the cuBLAS of CUDA {}, or name its folder in "
                    "LD_LIBRARY_PATH",
                    reason != nullptr ? reason : name, CUBLAS_VER_MAJOR));
  }();
  return library;
}

constexpr std::uint32_t kLtAlignment = 16;  // of every pointer

using Layout = Handle<cublasLtMatrixLayoutOpaque_t, cublasLtMatrixLayoutDestroy>;

Layout layout(cudaDataType_t type, int rows, int columns) {
  return made<Layout>([&](cublasLtMatrixLayout_t* out) {
    check(cublasLtMatrixLayoutCreate(out, type, rows, columns, rows), "cublasLtMatrixLayoutCreate");
  });
}

template <typename T>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t name, const T& value) {
  check(cublasLtMatmulDescSetAttribute(operation, name, &value, sizeof(value)),
        "cublasLtMatmulDescSetAttribute");
}

using Preference = Handle<cublasLtMatmulPreferenceOpaque_t, cublasLtMatmulPreferenceDestroy>;

// Partial sums are added in fp32, so they may be reduced in the output only if the output is fp32.
Preference preference(const MatmulShape& shape, std::size_t workspace_limit) {
  auto preference = made<Preference>([](cublasLtMatmulPreference_t* out) {
    check(cublasLtMatmulPreferenceCreate(out), "cublasLtMatmulPreferenceCreate");
  });
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference.get(), name, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_limit});
  const std::uint32_t in_output = shape.outputs == CUDA_R_32F ? CUBLASLT_REDUCTION_SCHEME_INPLACE : 0;
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, in_output | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kLtAlignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, kLtAlignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, kLtAlignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, kLtAlignment);
  return preference;
}

}  // namespace

LibraryFunction cublas_function(const char* name) {
  const LibraryFunction function{dlsym(cublas_library(), name)};
  if (function.address != nullptr) return function;
  throw BackendError(fmt::format("cuBLASLt lacks {}: it is of another version than this program's {}", name,
                                 CUBLAS_VER_MAJOR));
}

std::string status_text(cublasStatus_t status) {
  return fmt::format("{} ({})", cublasLtGetStatusName(status), static_cast<int>(status));
}

void check(cublasStatus_t status, std::string_view what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw BackendError(fmt::format("{}: {}", what, status_text(status)));
}

Matmul::Matmul(const MatmulShape& s)
    : operation_(made<decltype(operation_)>([&](cublasLtMatmulDesc_t* out) {
        check(cublasLtMatmulDescCreate(out, s.compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
      })),
      a_(s.transpose_a ? layout(s.inputs, s.depth, s.rows) : layout(s.inputs, s.rows, s.depth)),
      b_(s.transpose_b ? layout(s.inputs, s.columns, s.depth) : layout(s.inputs, s.depth, s.columns)),
      d_(layout(s.outputs, s.rows, s.columns)),
      has_bias_(s.epilogue == CUBLASLT_EPILOGUE_BGRADB) {
  set(operation_.get(), CUBLASLT_MATMUL_DESC_TRANSA, s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation_.get(), CUBLASLT_MATMUL_DESC_TRANSB, s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation_.get(), CUBLASLT_MATMUL_DESC_EPILOGUE, s.epilogue);
  // The heuristics read the alignment of the bias from its address.
  if (has_bias_) set(operation_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, std::uintptr_t{kLtAlignment});
}

std::optional<Matmul> Matmul::find(cublasLtHandle_t lt, const MatmulShape& shape,
                                   std::size_t workspace_limit) {
  Matmul matmul(shape);
  const Preference preferences = preference(shape, workspace_limit);
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(lt, matmul.operation_.get(), matmul.a_.get(), matmul.b_.get(),
                                     matmul.d_.get(), matmul.d_.get(), preferences.get(), 1, &result, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
  // Some versions report an epilogue that they lack for these types as an invalid value.
  if (status == CUBLAS_STATUS_INVALID_VALUE && shape.epilogue != CUBLASLT_EPILOGUE_DEFAULT)
    return std::nullopt;
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  if (found == 0 || result.state != CUBLAS_STATUS_SUCCESS) return std::nullopt;
  matmul.algorithm_ = result.algo;
  matmul.workspace_ = result.workspaceSize;
  return matmul;
}

cublasStatus_t Matmul::run(cublasLtHandle_t lt, cudaStream_t stream, const MatmulArgs& args) const {
  const float alpha = 1;
  const float beta = 0;
  if (has_bias_) set(operation_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, args.bias);
  return cublasLtMatmul(lt, operation_.get(), &alpha, args.a, a_.get(), args.b, b_.get(), &beta, args.d,
                        d_.get(), args.d, d_.get(), &algorithm_, args.workspace, workspace_, stream);
}

}  // namespace trainer::cuda
