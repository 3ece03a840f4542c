#include "kernels/cpu/ranks/host_exchange.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/cpu/runtime/parallel.hpp"
#include "kernels/ranks/column_code.hpp"
#include "kernels/ranks/gradient_code.hpp"
#include "kernels/ranks/messages.hpp"

namespace trainer::cpu {

namespace {

class HostExchange final : public GradientExchange {
 public:
  HostExchange(const ExchangeDesc& desc, int threads)
      : desc_(checked_exchange(desc)),
        rank_(static_cast<std::size_t>(desc.ranks->rank())),
        size_(desc.ranks->size()),
        threads_(threads),
        stripes_(divide_columns(desc.columns, desc.bits, size_)),
        coded_(desc.columns, stripes_, desc.bits),
        full_(desc.columns, stripes_, desc.full_steps > 0 ? 32 : desc.bits),
        shares_(divide_columns(desc.columns, 32, threads)),
        owned_shares_(divide_columns(owned(), 32, threads)) {
    for (std::size_t& c : owned_shares_) c += stripes_[rank_];
    for (const Column& column : desc.columns) longest_ = std::max(longest_, column.rows);
    scratch_.resize(static_cast<std::size_t>(threads) * scratch_floats());
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
    const auto start = std::chrono::steady_clock::now();
    const Messages& messages = state->step < desc_.full_steps ? full_ : coded_;
    stops_ = stops_ || (size_ == 1 && asked_);
    if (size_ == 1 && messages.bits == 32) return count(messages, 0);  // the sum is what it has
    for_columns(shares_, [&](std::size_t c, float* scratch) {
      encode(messages, c, dw + desc_.columns[c].begin, own_residual_, &outgoing_[messages.scattered[c]],
             scratch);
    });
    desc_.ranks->all_to_all(outgoing_.data(), messages.scattered_borders, incoming_.data());
    for_columns(owned_shares_, [&](std::size_t c, float* scratch) { add(messages, c, scratch); });
    write_header(messages, state->batch_loss);
    desc_.ranks->all_gather(all_.data(), messages.gathered_borders);
    for_columns(shares_, [&](std::size_t c, float* /*scratch*/) {
      const Column& column = desc_.columns[c];
      decode_column(column.bits(messages.bits), &all_[messages.gathered[c]], column.rows, dw + column.begin);
    });
    state->batch_loss = read_headers(messages);
    count(messages, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
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

  // Calls body(c, scratch) for each column of the threads' shares.
  template <typename Body>
  void for_columns(const std::vector<std::size_t>& shares, const Body& body) {
    parallel(shares.size() - 1, 1, threads_, [&](const Range& range) {
      float* const scratch = scratch_.data() + static_cast<std::size_t>(range.thread) * scratch_floats();
      for (std::size_t c = shares[range.begin]; c < shares[range.end]; ++c) body(c, scratch);
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
  int threads_;
  std::vector<std::size_t> stripes_;  // [ranks + 1]
  Messages coded_, full_;
  std::vector<std::size_t> shares_, owned_shares_;  // [threads + 1], columns of all and of this rank's stripe
  std::size_t longest_ = 0;                         // rows of a column
  std::vector<float> scratch_;                      // [threads, scratch_floats()]
  std::vector<std::uint32_t> outgoing_, incoming_, all_;
  std::vector<float> own_residual_, sum_residual_;  // [floats]; of the sums, this rank's stripe alone is used
  bool asked_ = false;
  bool stops_ = false;
  ExchangeCount count_;
};

}  // namespace

std::unique_ptr<GradientExchange> make_host_exchange(const ExchangeDesc& desc, int threads) {
  return std::make_unique<HostExchange>(desc, threads);
}

}  // namespace trainer::cpu
