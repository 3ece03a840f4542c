// A case of training on simulated ranks: attempt after attempt, each from the last one's checkpoint, until the training has ended. The
// seed draws the network, the number of ranks of each attempt, the order of messages, who dies, freezes or is asked to stop, and when.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/train/simulated_training.hpp"

namespace trainer::test {

struct CaseReport {
  std::vector<std::string> failures;  // empty: all held
  std::vector<std::string> trace;     // what was drawn, and what happened
  int deaths = 0;
  int freezes = 0;
  int stops = 0;    // attempts that ended by one
  int resumed = 0;  // attempts that went on from a checkpoint
};

// Of a training that nothing has disturbed.
struct Undisturbed {
  std::string digest;
  std::map<std::uint64_t, std::string> digests;  // after each step; the first weights are those after step 0
  std::vector<EpochRecord> epochs;
};

class CaseRunner {
 public:
  CaseReport run(std::uint64_t seed);

  // What a training ends with. Portable bits: one process's; fast bits differ with the number of ranks.
  const Undisturbed& undisturbed(const RankedTraining& training, int ranks);
  // How many messages each rank sends in it.
  std::uint64_t messages(const RankedTraining& training, int ranks);

 private:
  AttemptResult run_undisturbed(const RankedTraining& training, int ranks) const;

  SimulatedTraining simulated_;
  std::map<std::string, Undisturbed> undisturbed_;
  std::map<std::string, std::uint64_t> messages_;
};

}  // namespace trainer::test
