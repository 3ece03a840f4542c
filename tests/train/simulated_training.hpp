// A short training on simulated ranks (tests/support/simulated_ranks.hpp), up to its end or until a rank dies, freezes or is asked to
// stop. Rank 0 writes checkpoints as trainer/train/training_run.cpp does; the next attempt goes on from the last one, with as many
// ranks as it likes.
#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "tests/support/simulated_ranks.hpp"
#include "trainer/train/loop.hpp"

namespace trainer::test {

constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

struct RankedTraining {
  std::string network =
      "small";  // small: with batch normalisation and selection; or the name of a shipped one
  Bits bits = Bits::portable;
  int gradient_bits = 32;
  std::uint64_t warm_start_images = 0;
  std::uint32_t validation = 0;     // images of the training split
  std::optional<double> rate = {};  // instead of the recipe's
  std::uint64_t checkpoint_steps = 3;
  std::uint64_t digest_steps = 0;
};

struct Attempt {
  int ranks = 0;                    // 0: one process without a communicator
  std::uint64_t seed = 0;           // of the simulation
  std::uint64_t messages = kNever;  // that a rank sends: its fate falls on one of them
  std::vector<std::uint64_t> stops =
      {};  // [ranks] how often a rank looks for a signal before there is one; empty: none comes
  std::optional<int> late_rank = {};  // its clock alone says that the time limit is over
};

// How far one rank has come.
struct RankEnd {
  std::optional<std::uint64_t> start;  // the step that it began with, and the digest of the network then
  std::string start_digest;
  std::optional<LoopResult> result;  // nothing: it threw
  std::string digest;                // with the result
  std::vector<EpochRecord> epochs;
  std::map<std::uint64_t, std::string> digests;  // after steps
};

struct AttemptResult {
  SimulatedRun run;
  std::vector<RankEnd> ends;
};

// What every attempt reads: the images.
class SimulatedTraining {
 public:
  SimulatedTraining();

  // Trains from the file `checkpoint` if there is one, and writes it.
  AttemptResult run(const RankedTraining& training, const Attempt& attempt,
                    const std::filesystem::path& checkpoint) const;

 private:
  data::Dataset dataset_;
};

}  // namespace trainer::test
