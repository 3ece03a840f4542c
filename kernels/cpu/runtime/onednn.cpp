// Moving weights between layouts.
#include "kernels/cpu/runtime/onednn.hpp"

namespace trainer::cpu {

void OneDnn::reorder(const Desc& from, const void* source, const Desc& to, void* target) const {
  dnnl::memory a = view(from, source);
  dnnl::memory b = view(to, target);
  dnnl::reorder(a, b).execute(stream, a, b);
}

}  // namespace trainer::cpu
