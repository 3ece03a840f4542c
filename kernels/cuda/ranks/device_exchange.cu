// A step's exchange: three kernels, and NCCL's two messages between them. A block takes a column at a time.
#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "kernels/cuda/ranks/column_code.cuh"
#include "kernels/cuda/ranks/device_exchange.hpp"
#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/handle.hpp"
#include "kernels/cuda/runtime/recording.hpp"
#include "kernels/ranks/messages.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kMostCodeBlocks = 1024;
constexpr unsigned kLeaves = 8;      // of a branch of the tree of ranks
constexpr unsigned kMostLevels = 5;  // of branches
constexpr int kMostDeviceRanks = kLeaves << kMostLevels;
constexpr std::uint64_t kNoStop = ~std::uint64_t{0};

// A column, and where its code is in the messages to the owners and to all, in words.
struct PlacedColumn {
  std::uint64_t begin, scattered, gathered;
  std::uint32_t rows;
};

// What the device and the host tell each other, in the host's memory.
struct ExchangeNotes {
  std::uint32_t asked = 0;            // the host has been asked to stop
  std::uint64_t stop_step = kNoStop;  // the first step in which some rank had been; equal on all ranks
  std::uint64_t steps = 0, bytes = 0, nanoseconds = 0;
  std::uint64_t started = 0;  // the step in progress
};

struct ExchangeArgs {
  const PlacedColumn* columns = nullptr;
  unsigned count = 0;                          // of all columns,
  unsigned first_own = 0, end_own = 0;         // those of this rank's stripe,
  std::uint64_t own_words = 0, own_begin = 0;  // and their codes' length and place among the scattered ones
  const std::uint64_t* headers = nullptr;  // [ranks] where each stripe's header is among the gathered codes
  unsigned rank = 0, ranks = 1;
  std::uint64_t bytes = 0;  // that a step sends to others
  float* dw = nullptr;
  float *own_residual = nullptr, *sum_residual = nullptr;
  std::uint32_t *outgoing = nullptr, *incoming = nullptr, *all = nullptr;
  float* long_sums = nullptr;  // [blocks, long_words]
  std::uint64_t long_words = 0;
  StepState* state = nullptr;
  volatile ExchangeNotes* notes = nullptr;

  __device__ float* sums_of_block() const { return long_sums + blockIdx.x * long_words; }
};

__device__ std::uint64_t nanoseconds() {
  std::uint64_t now = 0;
#if defined(__CUDA_ARCH__)
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
#endif
  return now;
}

// The sum of kCount leaves as add_tree() has it: that of the first half plus that of the second.
template <unsigned kFirst, unsigned kCount>
__device__ float fixed_tree(const float (&leaf)[kLeaves]) {
  if constexpr (kCount == 1)
    return leaf[kFirst];
  else
    return fixed_tree<kFirst, kCount / 2>(leaf) + fixed_tree<kFirst + kCount / 2, kCount - kCount / 2>(leaf);
}

// The same of value(first) .. value(first + count - 1), at most kLeaves.
template <typename Value>
__device__ float small_tree(unsigned first, unsigned count, const Value& value) {
  float leaf[kLeaves];
#pragma unroll
  for (unsigned i = 0; i < kLeaves; ++i) leaf[i] = value(first + (i < count ? i : 0));  // loads in a row: 7
  switch (count) {
    case 1:
      return fixed_tree<0, 1>(leaf);
    case 2:
      return fixed_tree<0, 2>(leaf);
    case 3:
      return fixed_tree<0, 3>(leaf);
    case 4:
      return fixed_tree<0, 4>(leaf);
    case 5:
      return fixed_tree<0, 5>(leaf);
    case 6:
      return fixed_tree<0, 6>(leaf);
    case 7:
      return fixed_tree<0, 7>(leaf);
    default:
      return fixed_tree<0, 8>(leaf);
  }
}

// The same of value(0) .. value(count - 1): the tree is cut where its branches have at most kLeaves, and their sums are added like
// the digits of a binary counter.
template <typename Value>
__device__ float tree_sum(unsigned count, const Value& value) {
  unsigned levels = 0;
  while (((count - 1) >> levels) + 1 > kLeaves) ++levels;
  float pending[kMostLevels + 1] = {};
  float sum = 0;
  for (unsigned branch = 0; branch < 1U << levels; ++branch) {
    unsigned first = 0;
    unsigned size = count;
    for (unsigned level = levels; level-- > 0;) {
      const unsigned half = size / 2;
      const bool second = (branch >> level & 1U) != 0;
      first += second ? half : 0;
      size = second ? size - half : half;
    }
    sum = small_tree(first, size, value);
    bool carries = true;
#pragma unroll
    for (unsigned level = 0; level <= kMostLevels; ++level) {
      const bool adds = carries && (branch >> level & 1U) != 0;
      if (adds) sum = pending[level] + sum;
      if (carries && !adds) pending[level] = sum;
      carries = adds;
    }
  }
  return sum;
}

template <int kBits>
__global__ void __launch_bounds__(kCodeThreads) encode_gradients(const __grid_constant__ ExchangeArgs a) {
  if (grid_index() == 0) a.notes->started = nanoseconds();
  for (unsigned c = blockIdx.x; c < a.count; c += gridDim.x) {
    const PlacedColumn column = a.columns[c];
    const float* dw = a.dw + column.begin;
    encode<kBits, 8>(
        column.rows, [=](const RowPlace& at) { return dw[at.row]; }, a.own_residual + column.begin,
        a.outgoing + column.scattered, a.sums_of_block());
  }
}

// Adds up this rank's stripe and codes the sum for all.
template <int kBits>
__global__ void __launch_bounds__(kCodeThreads) add_stripe(const __grid_constant__ ExchangeArgs a) {
  if (grid_index() == 0) {
    a.all[a.headers[a.rank]] = __float_as_uint(a.state->batch_loss);
    a.all[a.headers[a.rank] + 1] = a.notes->asked;
  }
  for (unsigned c = a.first_own + blockIdx.x; c < a.end_own; c += gridDim.x) {
    const PlacedColumn column = a.columns[c];
    const std::uint32_t* code = a.incoming + (column.scattered - a.own_begin);
    const auto sum = [&](const RowPlace& at) {
      return tree_sum(a.ranks, [&](unsigned rank) { return decoded<kBits>(code + rank * a.own_words, at); });
    };
    encode<kBits, 1>(column.rows, sum, a.sum_residual + column.begin, a.all + column.gathered,
                     a.sums_of_block());
  }
}

template <int kBits>
__global__ void __launch_bounds__(kCodeThreads) decode_sums(const __grid_constant__ ExchangeArgs a) {
  for (unsigned c = blockIdx.x; c < a.count; c += gridDim.x) {
    const PlacedColumn column = a.columns[c];
    const std::uint32_t* code = a.all + column.gathered;
    float* dw = a.dw + column.begin;
    for_rows<kBits, 8>(
        column.rows, [=](const RowPlace& at) { return decoded<kBits>(code, at); },
        [=](const RowPlace& at, float sum) { dw[at.row] = sum; });
  }
  if (grid_index() != 0) return;
  a.state->batch_loss =
      tree_sum(a.ranks, [&](unsigned rank) { return __uint_as_float(a.all[a.headers[rank]]); });
  bool stop = false;
  for (unsigned rank = 0; rank < a.ranks; ++rank) stop = stop || a.all[a.headers[rank] + 1] != 0;
  if (stop && a.notes->stop_step == kNoStop) a.notes->stop_step = a.state->step;
  a.notes->nanoseconds = a.notes->nanoseconds + (nanoseconds() - a.notes->started);
  a.notes->bytes = a.notes->bytes + a.bytes;
  a.notes->steps = a.notes->steps + 1;
}

// Messages, and what the device knows of them.
struct PlacedMessages {
  PlacedMessages(Backend& backend, const ExchangeDesc& desc, const std::vector<std::size_t>& stripes,
                 int code_bits)
      : messages(desc.columns, stripes, code_bits) {
    std::vector<PlacedColumn> placed;
    for (std::size_t c = 0; c < desc.columns.size(); ++c) {
      placed.push_back({desc.columns[c].begin, messages.scattered[c], messages.gathered[c],
                        static_cast<std::uint32_t>(desc.columns[c].rows)});
    }
    std::vector<std::uint64_t> first;
    for (const std::size_t border : messages.gathered_borders) first.push_back(border / 4);
    columns = backend.allocate(placed.size() * sizeof(PlacedColumn), "the columns of gradients");
    headers = backend.allocate(first.size() * sizeof(std::uint64_t), "the places of headers");
    backend.upload(columns.data(), placed.data(), placed.size() * sizeof(PlacedColumn));
    backend.upload(headers.data(), first.data(), first.size() * sizeof(std::uint64_t));
  }
  std::size_t own_words(std::size_t rank) const {
    return (messages.scattered_borders[rank + 1] - messages.scattered_borders[rank]) / 4;
  }

  Messages messages;
  Buffer columns, headers;
};

class DeviceExchange final : public GradientExchange {
 public:
  DeviceExchange(Backend& backend, const LaunchQueue& queue, DeviceCommunicator& ranks,
                 const ExchangeDesc& desc)
      : desc_(checked_exchange(desc)),
        backend_(backend),
        queue_(queue),
        ranks_(ranks),
        rank_(static_cast<std::size_t>(ranks.rank())),
        stripes_(divide_columns(desc.columns, desc.bits, ranks.size())),
        coded_(backend, desc, stripes_, desc.bits),
        notes_(made<Notes>([](ExchangeNotes** out) {
          check(cudaHostAlloc(out, sizeof(ExchangeNotes), cudaHostAllocMapped), "cudaHostAlloc");
        })) {
    if (ranks.size() > kMostDeviceRanks)
      throw BackendError(
          fmt::format("{} ranks on GPUs: at most {} are possible", ranks.size(), kMostDeviceRanks));
    *notes_ = {};
    ranks.progress = &notes_->steps;
    if (desc.full_steps > 0 && desc.bits != 32) full_.emplace(backend, desc, stripes_, 32);
    std::size_t outgoing = 0, incoming = 0, all = 0;
    for (const PlacedMessages* placed : {&coded_, full_ ? &*full_ : &coded_}) {
      outgoing = std::max(outgoing, placed->messages.scattered.back());
      incoming = std::max(incoming, static_cast<std::size_t>(ranks.size()) * placed->own_words(rank_));
      all = std::max(all, placed->messages.gathered_borders.back() / 4);
    }
    outgoing_ = backend.allocate(4 * outgoing, "the gradients to send");
    incoming_ = backend.allocate(4 * incoming, "the gradients received");
    all_ = backend.allocate(4 * all, "the sums of gradients");
    std::size_t longest = 0;
    for (const Column& column : desc.columns) longest = std::max(longest, sign_words(column.rows));
    if (desc.bits == 1 && longest > kSharedWords) long_words_ = 2 * longest;
    long_sums_ =
        backend.allocate(4 * long_words_ * std::min<std::size_t>(desc.columns.size(), kMostCodeBlocks),
                         "the sums of long columns");
    own_residual_ = backend.allocate(residual_bytes(), "what rounding leaves out");
    sum_residual_ = backend.allocate(residual_bytes(), "what rounding leaves out of sums");
    queue_.loads = true;
    launch_exchange(coded_, nullptr, nullptr);
    if (full_) launch_exchange(*full_, nullptr, nullptr);
    queue_.loads = false;
  }

  ~DeviceExchange() override { ranks_.progress = nullptr; }

  void run(float* dw, StepState* state) override {
    launch_exchange(full_ && next_step_ < desc_.full_steps ? *full_ : coded_, dw, state);
  }

  void before_launch(std::uint64_t step) override { next_step_ = step; }
  void ask_to_stop() override { notes().asked = 1; }
  // Ranks run ahead by different numbers of launches, but when one is launched, each has ended the steps this far before it.
  bool stops() const override {
    const std::uint64_t step = notes().stop_step;
    return step != kNoStop && step + kMostLaunches * kStepsALaunch <= next_step_;
  }
  ExchangeCount count() const override {
    return {notes().steps, notes().bytes, static_cast<double>(notes().nanoseconds) * 1e-9};
  }

  Residuals residuals() override {
    std::vector<float> own(residual_bytes() / sizeof(float)), sum(own.size());
    backend_.download(own.data(), own_residual_.data(), residual_bytes());
    backend_.download(sum.data(), sum_residual_.data(), residual_bytes());
    return gathered_residuals(desc_, stripes_, own, sum);
  }
  void set_residuals(const Residuals& residuals) override {
    const Residuals shared = fitting_residuals(desc_, residuals);
    const std::size_t own = rank_ * residual_bytes() / sizeof(float);
    backend_.upload(own_residual_.data(), shared.own.data() + own, residual_bytes());
    backend_.upload(sum_residual_.data(), shared.sum.data(), residual_bytes());
  }

 private:
  using Notes = Handle<ExchangeNotes, cudaFreeHost>;

  volatile ExchangeNotes& notes() const { return *notes_; }
  std::size_t residual_bytes() const { return desc_.bits == 32 ? 0 : desc_.floats * sizeof(float); }

  ExchangeArgs arguments(const PlacedMessages& now, float* dw, StepState* state) const {
    const Messages& messages = now.messages;
    const std::size_t part = messages.gathered_borders[rank_ + 1] - messages.gathered_borders[rank_];
    const std::size_t scattered = 4 * (messages.scattered.back() - now.own_words(rank_));
    return {.columns = now.columns.as<PlacedColumn>(),
            .count = static_cast<unsigned>(desc_.columns.size()),
            .first_own = static_cast<unsigned>(stripes_[rank_]),
            .end_own = static_cast<unsigned>(stripes_[rank_ + 1]),
            .own_words = now.own_words(rank_),
            .own_begin = messages.scattered_borders[rank_] / 4,
            .headers = now.headers.as<std::uint64_t>(),
            .rank = static_cast<unsigned>(rank_),
            .ranks = static_cast<unsigned>(ranks_.size()),
            .bytes = scattered + static_cast<std::size_t>(ranks_.size() - 1) * part,
            .dw = dw,
            .own_residual = own_residual_.floats(),
            .sum_residual = sum_residual_.floats(),
            .outgoing = outgoing_.as<std::uint32_t>(),
            .incoming = incoming_.as<std::uint32_t>(),
            .all = all_.as<std::uint32_t>(),
            .long_sums = long_sums_.floats(),
            .long_words = long_words_,
            .state = state,
            .notes = notes_.get()};
  }

  template <int kBits>
  void launch_coded(const PlacedMessages& now, const ExchangeArgs& a) {
    const LaunchShape all{std::clamp(a.count, 1U, kMostCodeBlocks), kCodeThreads};
    const LaunchShape own{std::clamp(a.end_own - a.first_own, 1U, kMostCodeBlocks), kCodeThreads};
    launch(queue_, all, "encode_gradients", encode_gradients<kBits>, a);
    if (!queue_.loads) ranks_.all_to_all(outgoing_.data(), now.messages.scattered_borders, incoming_.data());
    launch(queue_, own, "add_stripe", add_stripe<kBits>, a);
    if (!queue_.loads) ranks_.all_gather(all_.data(), now.messages.gathered_borders);
    launch(queue_, all, "decode_sums", decode_sums<kBits>, a);
  }
  void launch_exchange(const PlacedMessages& now, float* dw, StepState* state) {
    const ExchangeArgs a = arguments(now, dw, state);
    if (now.messages.bits == 32) launch_coded<32>(now, a);
    if (now.messages.bits == 16) launch_coded<16>(now, a);
    if (now.messages.bits == 1) launch_coded<1>(now, a);
  }

  ExchangeDesc desc_;
  Backend& backend_;
  LaunchQueue queue_;
  DeviceCommunicator& ranks_;
  std::size_t rank_;
  std::vector<std::size_t> stripes_;  // [ranks + 1]
  PlacedMessages coded_;
  std::optional<PlacedMessages> full_;  // of a warm start
  Notes notes_;
  std::uint64_t next_step_ = 0;
  std::uint64_t long_words_ = 0;
  Buffer outgoing_, incoming_, all_, long_sums_, own_residual_, sum_residual_;
};

}  // namespace

std::unique_ptr<GradientExchange> make_device_exchange(Backend& backend, const LaunchQueue& queue,
                                                       DeviceCommunicator& ranks, const ExchangeDesc& desc) {
  return std::make_unique<DeviceExchange>(backend, queue, ranks, desc);
}

}  // namespace trainer::cuda
