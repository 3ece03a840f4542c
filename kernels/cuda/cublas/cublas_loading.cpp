// cuBLASLt's functions. The first call loads the library; the program is not linked with it. It has half a gigabyte,
// 390,000 relocations and thousands of initialisers, which every start of the program would wait for
// (benchmarks/NOTES.md); most commands and some networks never call it. Once loaded, it stays until the program ends.
#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include "kernels/backend.hpp"
#include "kernels/gpu_host/loaded_library.hpp"

namespace {

// Throws BackendError if the library is not found.
void* cublas_library() {
  static void* const library = [] {
    const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
    void* loaded = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (loaded != nullptr) return loaded;
    const char* reason = dlerror();
    throw trainer::BackendError(
        fmt::format("cuBLASLt cannot be loaded: {}; install the cuBLAS of CUDA {}, or name its folder in "
                    "LD_LIBRARY_PATH",
                    reason != nullptr ? reason : name, CUBLAS_VER_MAJOR));
  }();
  return library;
}

template <typename Call>
Call* loaded(const char* name) {
  Call* const call = trainer::LibraryFunction{dlsym(cublas_library(), name)};
  if (call == nullptr)
    throw trainer::BackendError(fmt::format(
        "cuBLASLt lacks {}: it is of another version than this program's {}", name, CUBLAS_VER_MAJOR));
  return call;
}

}  // namespace

// Defines the library's functions as calls of the loaded ones.
#define LOADED(type, function, parameters, arguments)                  \
  type function parameters {                                           \
    static auto* const call = loaded<decltype(::function)>(#function); \
    return call arguments;                                             \
  }

LOADED(cublasStatus_t, cublasLtCreate, (cublasLtHandle_t * handle), (handle))
LOADED(cublasStatus_t, cublasLtDestroy, (cublasLtHandle_t handle), (handle))
LOADED(const char*, cublasLtGetStatusName, (cublasStatus_t status), (status))
LOADED(std::size_t, cublasLtGetVersion, (), ())
LOADED(cublasStatus_t, cublasLtMatmul,
       (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
        cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
        const void* c, cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
        const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t bytes, cudaStream_t stream),
       (handle, operation, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm,
        workspace, bytes, stream))
LOADED(cublasStatus_t, cublasLtMatmulAlgoGetHeuristic,
       (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
        cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
        cublasLtMatmulPreference_t preference, int asked, cublasLtMatmulHeuristicResult_t results[],
        int* found),
       (handle, operation, a, b, c, d, preference, asked, results, found))
LOADED(cublasStatus_t, cublasLtMatmulDescCreate,
       (cublasLtMatmulDesc_t * operation, cublasComputeType_t compute, cudaDataType_t scale),
       (operation, compute, scale))
LOADED(cublasStatus_t, cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t operation), (operation))
LOADED(cublasStatus_t, cublasLtMatmulDescSetAttribute,
       (cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t name, const void* value,
        std::size_t bytes),
       (operation, name, value, bytes))
LOADED(cublasStatus_t, cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t * preference),
       (preference))
LOADED(cublasStatus_t, cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t preference), (preference))
LOADED(cublasStatus_t, cublasLtMatmulPreferenceSetAttribute,
       (cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t name, const void* value,
        std::size_t bytes),
       (preference, name, value, bytes))
LOADED(cublasStatus_t, cublasLtMatrixLayoutCreate,
       (cublasLtMatrixLayout_t * layout, cudaDataType type, std::uint64_t rows, std::uint64_t columns,
        std::int64_t stride),
       (layout, type, rows, columns, stride))
LOADED(cublasStatus_t, cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t layout), (layout))
#undef LOADED
