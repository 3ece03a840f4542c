// The last layer and its loss in two kernels; head_backward.cuh has the second. In forward a warp computes an image's
// logits, softmax, loss, whether it is correct, and the gradient of the products, which only backward needs; the last
// block to arrive adds up the images. If the recipe selects rows, it also chooses them and clears the dz of the others; on
// several ranks a kernel of its own does so, after an exchange of how hard their images are.
#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/ops/hardest_rows.cuh"
#include "kernels/cuda/ops/head_backward.cuh"

namespace trainer::cuda {

namespace {

constexpr int kMostClasses = 256;
// The most blocks per multiprocessor in forward, for dw and for dx.
constexpr unsigned kForwardBlocks = 8;
constexpr unsigned kDwBlocks = 4;
constexpr unsigned kDxBlocks = 16;

template <typename T>
struct HeadForward : MapArgs<T> {
  using MapArgs<T>::MapArgs;
  float* logits = nullptr;  // the head's y, which is fp32
  float* dz = nullptr;      // [n, classes], null in inference
  const std::uint8_t* labels = nullptr;
  float* losses = nullptr;          // [n]
  std::uint8_t* correct = nullptr;  // [n]
  HardestRows rows;
  StepState* state = nullptr;
};

__device__ float warp_sum(float value) {
  for (unsigned lane = kWarp / 2; lane > 0; lane /= 2) value += __shfl_xor_sync(~0U, value, lane);
  return value;
}

// The largest value of the warp and its index, the first of equal ones.
__device__ void warp_largest(float& value, int& index) {
  for (unsigned lane = kWarp / 2; lane > 0; lane /= 2) {
    const float other = __shfl_xor_sync(~0U, value, lane);
    const int other_index = __shfl_xor_sync(~0U, index, static_cast<int>(lane));
    if (other > value || (other == value && other_index < index)) {
      value = other;
      index = other_index;
    }
  }
}

// Writes the logits of one row to `z`, by one warp.
template <typename T>
__device__ void logits_of_row(const HeadShape& s, const HeadForward<T>& a, unsigned row, unsigned lane,
                              float* z) {
  const T* x = a.x + std::size_t{row} * s.in;
  for (unsigned j = 0; j < s.classes; ++j) {
    const float* w = a.w + std::size_t{j} * s.in;
    float sum = 0;
    for (unsigned i = lane; i < s.in; i += kWarp)  // loads in a row: 8
      sum += static_cast<float>(x[i]) * w[i];
    sum = warp_sum(sum) + (a.b == nullptr ? 0.0F : a.b[j]);
    if (lane == 0) z[j] = s.logit_scale * sum;
  }
  __syncwarp();
}

// Adds all rows' losses and correct answers to the step's sums, in an order that does not depend on the blocks.
template <typename T>
__device__ void add_up(const HeadForward<T>& a, unsigned valid) {
  __shared__ double losses[kThreads];
  __shared__ unsigned correct[kThreads];
  double loss = 0;
  unsigned hit = 0;
  for (unsigned n = threadIdx.x; n < valid; n += kThreads) {  // loads in a row: 8
    loss += __ldcg(a.losses + n);
    hit += __ldcg(a.correct + n);
  }
  losses[threadIdx.x] = loss;
  correct[threadIdx.x] = hit;
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x >= half) continue;
    losses[threadIdx.x] += losses[threadIdx.x + half];
    correct[threadIdx.x] += correct[threadIdx.x + half];
  }
  if (threadIdx.x != 0) return;
  a.state->batch_loss += static_cast<float>(losses[0]);
  a.state->loss_sum += losses[0];
  a.state->correct += correct[0];
  a.state->images += valid;
}

// From the logits z of one row, one warp computes y, the gradient of the products, the loss, and whether it is correct.
template <bool kOneOfRanks, typename T>
__device__ void finish_row(const HeadShape& s, const HeadForward<T>& a, unsigned row, unsigned valid,
                           unsigned lane, const float* z) {
  float most = z[0];
  int best = 0;
  for (unsigned j = lane; j < s.classes; j += kWarp) {
    if (z[j] > most) {
      most = z[j];
      best = static_cast<int>(j);
    }
  }
  warp_largest(most, best);
  float sum = 0;
  float below = 0;  // the sum of the logits' differences from the largest
  for (unsigned j = lane; j < s.classes; j += kWarp) {
    sum += expf(z[j] - most);
    below += z[j] - most;
  }
  sum = warp_sum(sum);
  const float smoothing = a.dz == nullptr ? 0 : s.label_smoothing;
  const float part = smoothing / static_cast<float>(s.classes);
  below = smoothing > 0 ? warp_sum(below) : 0;
  const unsigned label = a.labels[row];
  const float scale = row < valid ? s.loss_scale * s.logit_scale / a.rows.count(*a.state) : 0.0F;
  for (unsigned j = lane; j < s.classes; j += kWarp) {
    const std::size_t at = std::size_t{row} * s.classes + j;
    a.logits[at] = z[j];
    const float target = part + (j == label ? 1 - smoothing : 0.0F);
    if (a.dz != nullptr) a.dz[at] = row < valid ? (expf(z[j] - most) / sum - target) * scale : 0.0F;
  }
  if (lane != 0) return;
  const float norm = logf(sum);
  const float of_label = z[label] - most;
  a.losses[row] = norm - (1 - smoothing) * of_label - part * below;
  a.correct[row] = best == static_cast<int>(label) ? 1 : 0;
  if (a.rows.hardness == nullptr) return;
  const unsigned at = row + (kOneOfRanks ? a.state->first_row : 0);
  a.rows.hardness[at] = hardness_key(norm - of_label, at);
}

template <typename T, bool kOneOfRanks>
__global__ void head_forward(HeadShape s, HeadForward<T> a, unsigned* ticket) {
  __shared__ float logits[kRows][kMostClasses];
  const unsigned lane = threadIdx.x % kWarp;
  const unsigned warp = threadIdx.x / kWarp;
  const unsigned valid = a.state->valid;
  float* z = logits[warp];
  for (unsigned row = blockIdx.x * kRows + warp; row < s.batch; row += gridDim.x * kRows) {
    logits_of_row(s, a, row, lane, z);
    finish_row<kOneOfRanks>(s, a, row, valid, lane, z);
    __syncwarp();
  }
  if (!is_last_block(ticket, gridDim.x)) return;
  add_up(a, valid);
  if (kOneOfRanks || a.rows.hardness == nullptr) return;
  select_hardest<kThreads>(a.rows, *a.state, s.batch, s.classes, a.dz);
}

__global__ void select_rows(HeadShape s, HardestRows rows, const StepState* state, float* dz) {
  const unsigned row = blockIdx.x * kRows + threadIdx.x / kWarp;
  if (row < s.batch) select_among_all(rows, *state, row, s.classes, dz);
}

template <typename T>
class Head final : public Op {
 public:
  Head(const CudaContext& context, const HeadDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        shape_{static_cast<unsigned>(batch),
               static_cast<unsigned>(desc.in),
               static_cast<unsigned>(desc.classes),
               desc.x_map.masked,
               desc.logit_scale,
               desc.label_smoothing,
               context.loss_scale,
               Divider(static_cast<unsigned>(desc.in))},
        selection_(desc.selection),
        strips_((shape_.in + 1 + kStrip - 1) / kStrip) {
    const unsigned room = std::min(kDwBlocks * context.multiprocessors / strips_, kMostGroups);
    const unsigned groups = std::min((shape_.batch + kDwRows - 1) / kDwRows, room);
    groups_ = strips_ > kTickets ? 1 : std::max(groups, 1U);
  }

  std::size_t saved_bytes() const override { return sizeof(float) * shape_.batch * shape_.classes; }
  std::size_t workspace_bytes() const override {
    const std::size_t forward = sizeof(std::uint64_t) * keys() + (sizeof(float) + 1) * shape_.batch;
    return std::max(forward, sizeof(float) * strips_ * groups_ * shape_.classes * kStrip);
  }

 private:
  bool shares_rows() const { return selection_.selects() && context_.part.ranks != nullptr; }
  // How many images have a number for how hard they are: a rank may write one more than its own.
  std::size_t keys() const {
    return shape_.batch + (shares_rows() ? static_cast<std::size_t>(context_.part.batch) : 0);
  }

  void run_forward(const OpArgs& args) override {
    HeadForward<T> a(args);
    a.logits = static_cast<float*>(args.y);
    a.labels = args.labels;
    a.state = args.state;
    auto* hardness = reinterpret_cast<std::uint64_t*>(args.workspace);
    if (a.training) {
      a.dz = reinterpret_cast<float*>(args.saved);
      a.rows = {selection_, args.steps, selection_.selects() ? hardness : nullptr, args.selected};
    }
    a.losses = reinterpret_cast<float*>(hardness + keys());
    a.correct = reinterpret_cast<std::uint8_t*>(a.losses + shape_.batch);
    const unsigned blocks = blocks_for(shape_.batch, kRows, kForwardBlocks * context_.multiprocessors);
    const bool shares = a.training && shares_rows();
    launch(context_.stream, {blocks, kThreads}, "head_forward",
           shares ? head_forward<T, true> : head_forward<T, false>, shape_, a, context_.ticket);
    if (!shares) return;
    if (!context_.stream.loads) gather_rows(context_.part, hardness, sizeof(std::uint64_t));
    launch(context_.stream, {blocks_for(shape_.batch, kRows, shape_.batch), kThreads}, "select_rows",
           select_rows, shape_, a.rows, a.state, a.dz);
  }

  void run_backward(const OpArgs& args) override {
    HeadBackward<T> a(args);
    a.dz = reinterpret_cast<const float*>(args.saved);
    a.partial = reinterpret_cast<float*>(args.workspace);
    a.groups = groups_;
    const std::size_t elements = args.dx == nullptr ? 0 : std::size_t{shape_.batch} * shape_.in;
    const unsigned most = kDxBlocks * context_.multiprocessors;
    const unsigned dx_blocks = elements == 0 ? 0 : blocks_for(elements, kThreads, most);
    launch(context_.stream, {strips_ * groups_ + dx_blocks, kThreads}, "head_backward", head_backward<T>,
           shape_, a, strips_, context_.ticket);
  }

  const CudaContext& context_;
  HeadShape shape_;
  Selection selection_;
  unsigned strips_;      // strips of inputs, in dw
  unsigned groups_ = 1;  // groups of images
};

}  // namespace

std::unique_ptr<Op> make_op(const CudaContext& context, const HeadDesc& desc, int batch, bool /*wants_dx*/) {
  return visit_element(context.element, [&]<typename T>(ElementType<T>) -> std::unique_ptr<Op> {
    return std::make_unique<Head<T>>(context, desc, batch);
  });
}

}  // namespace trainer::cuda
