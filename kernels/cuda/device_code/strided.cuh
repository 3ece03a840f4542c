// A thread's loop over elements that lie a stride apart. A plain loop with a stride that is known only at run
// time cannot be unrolled without a test behind every trip, over which no load is moved, so that each trip
// waits for its own load. Here the loads of a batch of trips are all on their way before the first is used;
// the elements are used one by one, in their order.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

// use(i, load(i)) for i = first, first + stride ... below `end`, in this order, kBatch loads at a time. Where
// the last batch has fewer, its first element is loaded again in place of the others. `load` must not depend
// on what `use` of the same batch does; end + kBatch stride does not overflow.
template <unsigned kBatch, typename Index, typename Load, typename Use>
__device__ void for_strided(Index first, Index end, Index stride, const Load& load, const Use& use) {
  for (Index begin = first; begin < end; begin += kBatch * stride) {
    decltype(load(begin)) loaded[kBatch];
#pragma unroll
    for (unsigned k = 0; k < kBatch; ++k) {
      const Index i = begin + k * stride;
      loaded[k] = load(i < end ? i : begin);
    }
#pragma unroll
    for (unsigned k = 0; k < kBatch; ++k) {
      const Index i = begin + k * stride;
      if (i < end) use(i, loaded[k]);
    }
  }
}

}  // namespace trainer::cuda
