// libnvToolsExt came with toolkits up to 12, libnvtx3interop comes with 13; both know these two functions.
#include "trainer/train/nvtx_ranges.hpp"

#include <dlfcn.h>

namespace trainer {

struct NvtxRanges::Library {
  void* handle = nullptr;
  int (*push)(const char*) = nullptr;
  int (*pop)() = nullptr;
};

NvtxRanges::NvtxRanges() {
  for (const char* name : {"libnvToolsExt.so.1", "libnvtx3interop.so.1"}) {
    void* handle = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (handle == nullptr) continue;
    library_ = std::make_unique<Library>();
    library_->handle = handle;
    library_->push = reinterpret_cast<int (*)(const char*)>(dlsym(handle, "nvtxRangePushA"));
    library_->pop = reinterpret_cast<int (*)()>(dlsym(handle, "nvtxRangePop"));
    if (library_->push != nullptr && library_->pop != nullptr) return;
    dlclose(handle);
    library_.reset();
  }
}

NvtxRanges::~NvtxRanges() {
  if (library_) dlclose(library_->handle);
}

void NvtxRanges::push(const std::string& name) {
  if (library_) library_->push(name.c_str());
}

void NvtxRanges::pop() {
  if (library_) library_->pop();
}

}  // namespace trainer
