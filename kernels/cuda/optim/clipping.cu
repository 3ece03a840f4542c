// Clipping the gradients: a kernel of its own works out the factor, by which the update's kernels multiply.
#include "kernels/cuda/device_code/block_sum.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/optim/update_terms.cuh"
#include "kernels/math/clipping.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kNormBlocks = 128;  // on every GPU, since they order the sum
static_assert((kNormBlocks + 1) * sizeof(double) <= kClipBytes);

// Adds the squares of some segments to those of the launches before; the last block of the last launch adds up all blocks'.
template <typename T>
__global__ void gradient_norm(const __grid_constant__ UpdateTerms t, double* squares, bool first, bool last) {
  double own = 0;
  for (int s = 0; s < t.segment_count; ++s) {
    const Segment& segment = t.segment[s];
    const auto load = [&](std::uint64_t i) { return stored_gradient<T>(t, segment, i, t.inverse_scale); };
    const auto use = [&](std::uint64_t, float g) { own += static_cast<double>(g) * static_cast<double>(g); };
    for_strided<4>(std::uint64_t{grid_index()}, segment.count, std::uint64_t{grid_stride()}, load, use);
  }
  own = block_sum<kThreads>(own);
  if (threadIdx.x == 0) squares[blockIdx.x] = first ? own : squares[blockIdx.x] + own;
  if (!last || !is_last_block(t.ticket, gridDim.x)) return;
  const double all = block_sum<kThreads>(threadIdx.x < kNormBlocks ? __ldcg(squares + threadIdx.x) : 0.0);
  if (threadIdx.x == 0) squares[kNormBlocks] = t.inverse_scale * clip_factor(all, t.clip_norm);
}

}  // namespace

const double* launch_gradient_norm(const CudaContext& context, const UpdateArgs& args,
                                   const UpdateTerms& of_all) {
  UpdateTerms terms = of_all;
  std::vector<Segment> all = *args.segments;
  for (std::size_t i = 0; args.matrices != nullptr && i < args.matrices->size(); ++i)
    all.push_back((*args.matrices)[i].segment);
  auto* squares = reinterpret_cast<double*>(args.workspace);
  std::size_t done = 0;
  do {
    const bool first = done == 0;
    const std::size_t count = std::min<std::size_t>(all.size() - done, kMostSegments);
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(done), count, terms.segment);
    terms.segment_count = static_cast<int>(count);
    done += count;
    visit_element(context.element, [&]<typename T>(ElementType<T>) {
      launch(context.stream, {kNormBlocks, kThreads}, "gradient_norm", gradient_norm<T>, terms, squares,
             first, done == all.size());
    });
  } while (done < all.size());
  return squares + kNormBlocks;
}

}  // namespace trainer::cuda
