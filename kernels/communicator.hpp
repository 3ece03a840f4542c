// Ranks: processes that train one network together, each on a device of its own. Each holds the whole network and computes a
// range of rows of every batch; a Communicator is how they exchange what depends on all of its rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace trainer {

// A rank has not answered in time, or has ended; the message names it. Nothing more can be exchanged.
class RankLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Every rank makes the same calls in the same order, with the same borders. The memory is the host's; a GPU engine has a Communicator of
// its own for its device's memory, whose calls only launch. Both calls throw RankLost.
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const = 0;  // 0 .. size() - 1
  virtual int size() const = 0;

  // Rank r has written the bytes borders[r] .. borders[r + 1] - 1 of `data`; afterwards every rank has all of them.
  // `borders` has size() + 1 values, like those of all_to_all().
  virtual void all_gather(void* data, const std::vector<std::size_t>& borders) = 0;
  // Sends the bytes borders[r] .. borders[r + 1] - 1 of `data` to rank r. `received` [size(), bytes of this rank's part]
  // gets this rank's part of every rank's data, in the order of ranks.
  virtual void all_to_all(const void* data, const std::vector<std::size_t>& borders, void* received) = 0;

  // What the ranks are about to do ("step 17"), and how long one of them may take for it before it counts as lost: the message
  // of RankLost says both.
  virtual void begin(const std::string& activity, double seconds) = 0;

 protected:
  Communicator() = default;
};

// The place of this process among the ranks.
struct RankPart {
  Communicator* ranks = nullptr;  // for the memory of the host; null: it trains alone
  int batch = 0;                  // rows of a batch, of all ranks together
  int first = 0;                  // the first of them that this rank computes
  bool sync_batchnorm = false;  // batch normalisation by the statistics of all ranks; portable bits always do
  int gradient_bits = 32;       // for each value that an exchange of gradients sends: 32, 16 (bf16) or 1
  std::uint64_t full_steps = 0;  // the first steps of a run use 32 bits (warm start)
  double timeout = 10;           // seconds that a rank may take for a step
};

// The first row of a batch that `rank` computes: rows are divided as evenly as they can be, at the borders of the portable
// engine's shards where the number of ranks divides theirs (kernels/portable/batch_sum.hpp).
inline int first_row(int batch, int rank, int ranks) {
  return static_cast<int>(static_cast<long long>(batch) * rank / ranks);
}

// The most rows that one of the ranks computes.
inline int most_rows(int batch, int ranks) {
  return (batch + ranks - 1) / ranks;
}

// Gathers values of `row_bytes` for each row of the batch; `values` [part.batch] holds this rank's. Nothing if it trains alone.
inline void gather_rows(const RankPart& part, void* values, std::size_t row_bytes) {
  if (part.ranks == nullptr) return;
  std::vector<std::size_t> borders;
  for (int r = 0; r <= part.ranks->size(); ++r)
    borders.push_back(static_cast<std::size_t>(first_row(part.batch, r, part.ranks->size())) * row_bytes);
  part.ranks->all_gather(values, borders);
}

}  // namespace trainer
