// NCCL's functions. The first call loads the library, which has 200 MB; the program is not linked with it, since few trainings
// have several ranks. Once loaded, it stays until the program ends.
#include <dlfcn.h>
#include <fmt/format.h>
#include <nccl.h>

#include "kernels/backend.hpp"
#include "kernels/gpu_host/loaded_library.hpp"

namespace {

// Throws BackendError if the library is not found.
void* nccl_library() {
  static void* const library = [] {
    void* found = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (found != nullptr) return found;
    const char* reason = dlerror();
    throw trainer::BackendError(
        fmt::format("several ranks on GPUs need NCCL, which cannot be loaded: {}; install libnccl2, or name "
                    "the library's "
                    "folder in LD_LIBRARY_PATH, or choose --device cpu",
                    reason != nullptr ? reason : "libnccl.so.2"));
  }();
  return library;
}

template <typename Call>
Call* nccl_function(const char* name) {
  Call* const call = trainer::LibraryFunction{dlsym(nccl_library(), name)};
  if (call == nullptr)
    throw trainer::BackendError(fmt::format("NCCL lacks {}: install version 2.14 or newer", name));
  return call;
}

}  // namespace

// Defines the library's functions as calls of the loaded ones.
#define LOADED(type, function, parameters, arguments)                         \
  type function parameters {                                                  \
    static auto* const call = nccl_function<decltype(::function)>(#function); \
    return call arguments;                                                    \
  }

LOADED(ncclResult_t, ncclGetUniqueId, (ncclUniqueId * id), (id))
LOADED(ncclResult_t, ncclCommInitRankConfig,
       (ncclComm_t * comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config),
       (comm, ranks, id, rank, config))
LOADED(ncclResult_t, ncclCommFinalize, (ncclComm_t comm), (comm))
LOADED(ncclResult_t, ncclCommDestroy, (ncclComm_t comm), (comm))
LOADED(ncclResult_t, ncclCommAbort, (ncclComm_t comm), (comm))
LOADED(ncclResult_t, ncclCommGetAsyncError, (ncclComm_t comm, ncclResult_t* state), (comm, state))
LOADED(const char*, ncclGetErrorString, (ncclResult_t result), (result))
LOADED(const char*, ncclGetLastError, (ncclComm_t comm), (comm))
LOADED(ncclResult_t, ncclSend,
       (const void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
        cudaStream_t stream),
       (data, count, type, peer, comm, stream))
LOADED(ncclResult_t, ncclRecv,
       (void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream),
       (data, count, type, peer, comm, stream))
LOADED(ncclResult_t, ncclGroupStart, (), ())
LOADED(ncclResult_t, ncclGroupEnd, (), ())
#undef LOADED
