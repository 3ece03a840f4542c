// One matrix product d = op(a) op(b) by cuBLASLt: matrices are column-major and contiguous, sums are fp32, and the
// algorithm is the first that the library's heuristics propose. Only cublas_product.cpp and lt_matmul.cpp use
// cuBLASLt.
#pragma once

#include <cublasLt.h>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/cuda/runtime/handle.hpp"
#include "kernels/gpu_host/loaded_library.hpp"

namespace trainer::cuda {

// A function of cuBLASLt, whose first call loads the library; the program is not linked with it. It has half a gigabyte,
// 390,000 relocations and thousands of initialisers, which every start of the program would wait for (benchmarks/NOTES.md); most
// commands and some networks never call it. Once loaded, it stays until the program ends. Throws BackendError.
LibraryFunction cublas_function(const char* name);

// The functions under their own names.
#define LOADED(function)                                                  \
  inline constexpr auto function = [](auto... arguments) {                \
    static decltype(::function)* const call = cublas_function(#function); \
    return call(arguments...);                                            \
  };
LOADED(cublasLtCreate)
LOADED(cublasLtDestroy)
LOADED(cublasLtGetStatusName)
LOADED(cublasLtGetVersion)
LOADED(cublasLtMatmul)
LOADED(cublasLtMatmulAlgoGetHeuristic)
LOADED(cublasLtMatmulDescCreate)
LOADED(cublasLtMatmulDescDestroy)
LOADED(cublasLtMatmulDescSetAttribute)
LOADED(cublasLtMatmulPreferenceCreate)
LOADED(cublasLtMatmulPreferenceDestroy)
LOADED(cublasLtMatmulPreferenceSetAttribute)
LOADED(cublasLtMatrixLayoutCreate)
LOADED(cublasLtMatrixLayoutDestroy)
#undef LOADED

using LtHandle = Handle<cublasLtContext, cublasLtDestroy>;

// "CUBLAS_STATUS_NOT_SUPPORTED (15)"
std::string status_text(cublasStatus_t status);

// Throws BackendError "what: status_text".
void check(cublasStatus_t status, std::string_view what);

struct MatmulShape {
  int rows = 1;     // of op(a) and d
  int columns = 1;  // of op(b) and d
  int depth = 1;    // columns of op(a), rows of op(b)
  bool transpose_a = false;
  bool transpose_b = false;
  cudaDataType_t inputs = CUDA_R_32F;   // a and b
  cudaDataType_t outputs = CUDA_R_32F;  // d
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
};

struct MatmulArgs {
  const void* a = nullptr;
  const void* b = nullptr;
  void* d = nullptr;
  const float* bias = nullptr;  // written by the epilogue BGRADB, else unused
  void* workspace = nullptr;    // workspace_bytes()
};

class Matmul {
 public:
  // Nothing if the library has no algorithm that needs at most `workspace_limit` bytes.
  static std::optional<Matmul> find(cublasLtHandle_t lt, const MatmulShape& shape,
                                    std::size_t workspace_limit);

  std::size_t workspace_bytes() const { return workspace_; }
  // Only launches; can be captured in a CUDA graph.
  cublasStatus_t run(cublasLtHandle_t lt, cudaStream_t stream, const MatmulArgs& args) const;

 private:
  explicit Matmul(const MatmulShape& shape);

  Handle<cublasLtMatmulDescOpaque_t, cublasLtMatmulDescDestroy> operation_;
  Handle<cublasLtMatrixLayoutOpaque_t, cublasLtMatrixLayoutDestroy> a_, b_, d_;
  cublasLtMatmulAlgo_t algorithm_{};
  std::size_t workspace_ = 0;
  bool has_bias_ = false;
};

}  // namespace trainer::cuda
