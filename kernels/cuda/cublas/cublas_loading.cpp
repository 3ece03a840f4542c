// cuBLASLt's functions, loaded by the first one that is called: the program is not linked with the library.
// Half a gigabyte, it has 390,000 addresses to set and thousands of initialisers to run, which every start of
// the program would wait for (benchmarks/NOTES.md); most commands and some networks never call it. It stays
// until the program ends.
#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include "kernels/backend.hpp"
#include "kernels/gpu_host/loaded_library.hpp"

namespace {

// Throws BackendError where the library is not found.
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

#define LOADED(function) static auto* const call = loaded<decltype(function)>(#function)

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  LOADED(cublasLtCreate);
  return call(handle);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  LOADED(cublasLtDestroy);
  return call(handle);
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  LOADED(cublasLtGetStatusName);
  return call(status);
}

std::size_t cublasLtGetVersion() {
  LOADED(cublasLtGetVersion);
  return call();
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t bytes,
                              cudaStream_t stream) {
  LOADED(cublasLtMatmul);
  return call(handle, operation, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm,
              workspace, bytes, stream);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int asked,
                                              cublasLtMatmulHeuristicResult_t results[], int* found) {
  LOADED(cublasLtMatmulAlgoGetHeuristic);
  return call(handle, operation, a, b, c, d, preference, asked, results, found);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  LOADED(cublasLtMatmulDescCreate);
  return call(operation, compute, scale);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  LOADED(cublasLtMatmulDescDestroy);
  return call(operation);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t name, const void* value,
                                              std::size_t bytes) {
  LOADED(cublasLtMatmulDescSetAttribute);
  return call(operation, name, value, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  LOADED(cublasLtMatmulPreferenceCreate);
  return call(preference);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  LOADED(cublasLtMatmulPreferenceDestroy);
  return call(preference);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void* value, std::size_t bytes) {
  LOADED(cublasLtMatmulPreferenceSetAttribute);
  return call(preference, name, value, bytes);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t columns, std::int64_t stride) {
  LOADED(cublasLtMatrixLayoutCreate);
  return call(layout, type, rows, columns, stride);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  LOADED(cublasLtMatrixLayoutDestroy);
  return call(layout);
}

#undef LOADED
