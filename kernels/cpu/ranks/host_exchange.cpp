#include "kernels/cpu/ranks/host_exchange.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/ranks/gradient_code.hpp"
#include "kernels/ranks/messages.hpp"

namespace trainer::cpu {

namespace {

constexpr int kShares = 8;  // parts that the columns are cut into, for as many threads

class HostExchange final : public GradientExchange {
 public:
  HostExchange(const ExchangeDesc& desc, Stream& stream)
      : desc_(checked_exchange(desc)),
        rank_(static_cast<std::size_t>(desc.ranks->rank())),
        size_(desc.ranks->size()),
        stream_(stream),
        stripes_(divide_columns(desc.columns, desc.bits, size_)),
        coded_(desc.columns, stripes_, desc.bits),
        full_(desc.columns, stripes_, desc.full_steps > 0 ? 32 : desc.bits),
        shares_(divide_columns(desc.columns, 32, kShares)),
        owned_shares_(divide_columns(owned(), 32, kShares)) {
    for (std::size_t& c : owned_shares_) c += stripes_[rank_];
    for (const Column& column : desc.columns) longest_ = std::max(longest_, column.rows);
    scratch_.resize(static_cast<std::size_t>(stream.threads()) * scratch_floats());
    for (const Messages* messages : {&coded_, &full_}) {
      outgoing_.resize(std::max(outgoing_.size(), messages->scattered.back()));
      incoming_.resize(std::max(incoming_.size(), static_cast<std::size_t>(size_) * owned_words(*messages)));
      all_.resize(std::max(all_.size(), messages->gathered_borders.back() / 4));
    }
    if (desc.bits == 32) return;
    own_residual_.resize(desc.floats);
    sum_residual_.resize(desc.floats);
  }

  void run(float* dw, StepState* state) override {
    stream_.close();
    stream_.serial([this, state] { begin(*state); });
    append_columns(shares_, [this, dw](std::size_t c, float* scratch) {
      encode(*messages_, c, dw + desc_.columns[c].begin, own_residual_, &outgoing_[messages_->scattered[c]],
             scratch);
    });
    stream_.serial([this] {
      if (messages_ != nullptr)
        desc_.ranks->all_to_all(outgoing_.data(), messages_->scattered_borders, incoming_.data());
    });
    append_columns(owned_shares_, [this](std::size_t c, float* scratch) { add(*messages_, c, scratch); });
    stream_.serial([this, state] {
      if (messages_ == nullptr) return;
      write_header(*messages_, state->batch_loss);
      desc_.ranks->all_gather(all_.data(), messages_->gathered_borders);
    });
    append_columns(shares_, [this, dw](std::size_t c, float* /*scratch*/) {
      const Column& column = desc_.columns[c];
      decode_column(column.bits(messages_->bits), &all_[messages_->gathered[c]], column.rows,
                    dw + column.begin);
    });
    stream_.serial([this, state] {
      if (messages_ == nullptr) return;
      state->batch_loss = read_headers(*messages_);
      count(*messages_, std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
    });
  }

  void ask_to_stop() override { asked_ = true; }
  bool stops() const override { return stops_; }
  ExchangeCount count() const override { return count_; }

  Residuals residuals() override { return gathered_residuals(desc_, stripes_, own_residual_, sum_residual_); }

  void set_residuals(const Residuals& residuals) override {
    const std::size_t floats = own_residual_.size();
    const Residuals shared = fitting_residuals(desc_, residuals);
    own_residual_.assign(shared.own.data() + rank_ * floats, shared.own.data() + (rank_ + 1) * floats);
    sum_residual_ = shared.sum;
  }

 private:
  std::span<const Column> owned() const {
    return std::span(desc_.columns).subspan(stripes_[rank_], stripes_[rank_ + 1] - stripes_[rank_]);
  }
  std::size_t owned_words(const Messages& messages) const {
    return messages.scattered[stripes_[rank_ + 1]] - messages.scattered[stripes_[rank_]];
  }
  // A thread's: a column of every rank, and what encode_column() asks for.
  std::size_t scratch_floats() const {
    return static_cast<std::size_t>(size_) * longest_ + 2 * sign_words(longest_);
  }

  // Opens the exchange of a step. A rank alone exchanges nothing with 32 bits: messages_ is null.
  void begin(const StepState& state) {
    start_ = std::chrono::steady_clock::now();
    messages_ = state.step < desc_.full_steps ? &full_ : &coded_;
    if (size_ > 1) return;
    stops_ = stops_ || asked_;
    if (messages_->bits != 32) return;
    count(*messages_, 0);  // the sum is what it has
    messages_ = nullptr;
  }

  // Appends body(c, scratch) for each column of the shares.
  template <typename Body>
  void append_columns(const std::vector<std::size_t>& shares, const Body& body) {
    stream_.phase(static_cast<int>(shares.size()) - 1, [this, &shares, body](int item, int worker) {
      if (messages_ == nullptr) return;
      float* const scratch = scratch_.data() + static_cast<std::size_t>(worker) * scratch_floats();
      const auto share = static_cast<std::size_t>(item);
      for (std::size_t c = shares[share]; c < shares[share + 1]; ++c) body(c, scratch);
    });
  }

  void encode(const Messages& messages, std::size_t c, const float* x, std::vector<float>& residual,
              std::uint32_t* code, float* scratch) const {
    const Column& column = desc_.columns[c];
    encode_column(column.bits(messages.bits), x, column.rows,
                  residual.empty() ? nullptr : &residual[column.begin], code,
                  scratch + static_cast<std::size_t>(size_) * longest_);
  }

  // Adds up column c of all ranks, and codes the sum for all.
  void add(const Messages& messages, std::size_t c, float* scratch) {
    const Column& column = desc_.columns[c];
    const std::uint32_t* code = &incoming_[messages.scattered[c] - messages.scattered[stripes_[rank_]]];
    for (int from = 0; from < size_; ++from, code += owned_words(messages)) {
      decode_column(column.bits(messages.bits), code, column.rows,
                    scratch + static_cast<std::size_t>(from) * longest_);
    }
    add_tree(scratch, size_, longest_, column.rows);
    encode(messages, c, scratch, sum_residual_, &all_[messages.gathered[c]], scratch);
  }

  void write_header(const Messages& messages, float batch_loss) {
    const StripeHeader header{.batch_loss = batch_loss, .stop = asked_ ? 1U : 0U};
    std::memcpy(&all_[messages.gathered_borders[rank_] / 4], &header, sizeof header);
  }

  // Returns the sum of the ranks' losses.
  float read_headers(const Messages& messages) {
    std::vector<float> losses;
    for (int rank = 0; rank < size_; ++rank) {
      StripeHeader header;
      std::memcpy(&header, &all_[messages.gathered_borders[static_cast<std::size_t>(rank)] / 4],
                  sizeof header);
      losses.push_back(header.batch_loss);
      stops_ = stops_ || header.stop != 0;
    }
    add_tree(losses.data(), size_, 1, 1);
    return losses[0];
  }

  void count(const Messages& messages, double seconds) {
    const std::size_t part = messages.gathered_borders[rank_ + 1] - messages.gathered_borders[rank_];
    ++count_.steps;
    count_.bytes +=
        4 * (messages.scattered.back() - owned_words(messages)) + static_cast<std::size_t>(size_ - 1) * part;
    count_.seconds += seconds;
  }

  ExchangeDesc desc_;
  std::size_t rank_;
  int size_;
  Stream& stream_;
  std::vector<std::size_t> stripes_;  // [ranks + 1]
  Messages coded_, full_;
  std::vector<std::size_t> shares_, owned_shares_;  // [kShares + 1], columns of all and of this rank's stripe
  std::size_t longest_ = 0;                         // rows of a column
  std::vector<float> scratch_;                      // [threads, scratch_floats()]
  std::vector<std::uint32_t> outgoing_, incoming_, all_;
  std::vector<float> own_residual_, sum_residual_;  // [floats]; of the sums, this rank's stripe alone is used
  // These belong to the step that runs.
  std::chrono::steady_clock::time_point start_;
  const Messages* messages_ = nullptr;
  bool asked_ = false;
  bool stops_ = false;
  ExchangeCount count_;
};

}  // namespace

std::unique_ptr<GradientExchange> make_host_exchange(const ExchangeDesc& desc, Stream& stream) {
  return std::make_unique<HostExchange>(desc, stream);
}

}  // namespace trainer::cpu
