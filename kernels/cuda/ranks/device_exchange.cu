// A step's exchange: three kernels, and NCCL's two messages between them. A block takes a column at a time.
#include <algorithm>
#include <optional>
#include <string>

#include "kernels/cuda/ranks/device_communicator.hpp"
#include "kernels/cuda/ranks/exchange_kernels.cuh"
#include "kernels/cuda/runtime/check.hpp"
#include "kernels/cuda/runtime/handle.hpp"
#include "kernels/cuda/runtime/recording.hpp"
#include "kernels/ranks/messages.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kMostCodeBlocks = 1024;

// Messages, and what the device knows of them.
struct PlacedMessages {
  PlacedMessages(Backend& backend, const ExchangeDesc& desc, const std::vector<std::size_t>& stripes,
                 int code_bits)
      : messages(desc.columns, stripes, code_bits) {
    std::vector<PlacedColumn> placed;
    for (std::size_t c = 0; c < desc.columns.size(); ++c)
      placed.push_back({desc.columns[c].begin, messages.scattered[c], messages.gathered[c],
                        static_cast<std::uint32_t>(desc.columns[c].rows), desc.columns[c].whole});
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
      throw BackendError(std::to_string(ranks.size()) + " ranks on GPUs: at most " +
                         std::to_string(kMostDeviceRanks) + " are possible");
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
    for (const Column& column : desc.columns)
      words_ = std::max(words_, desc.bits == 1 ? sign_words(column.rows) : 0);
    sums_ = backend.allocate(8 * words_ * blocks_for(desc.columns.size(), 1, kMostCodeBlocks),
                             "the sums of columns");
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
            .sums = sums_.floats(),
            .words = words_,
            .state = state,
            .notes = notes_.get()};
  }

  template <int kBits>
  void launch_coded(const PlacedMessages& now, const ExchangeArgs& a) {
    const LaunchShape all{blocks_for(a.count, 1, kMostCodeBlocks), kCodeThreads};
    const LaunchShape own{blocks_for(a.end_own - a.first_own, 1, kMostCodeBlocks), kCodeThreads};
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
  std::optional<PlacedMessages> full_;  // the messages of a warm start
  Notes notes_;
  std::uint64_t next_step_ = 0;
  std::size_t words_ = 0;
  Buffer outgoing_, incoming_, all_, sums_, own_residual_, sum_residual_;
};

}  // namespace

std::unique_ptr<GradientExchange> make_device_exchange(Backend& backend, const LaunchQueue& queue,
                                                       DeviceCommunicator& ranks, const ExchangeDesc& desc) {
  return std::make_unique<DeviceExchange>(backend, queue, ranks, desc);
}

}  // namespace trainer::cuda
