// A training of the trials' network on a watched engine, step by step, with the digests that tell two trainings apart.
#pragma once

#include <cstring>
#include <memory>

#include "models/network.hpp"
#include "tests/faults/fault_engine.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/train/loop.hpp"

namespace trainer::test {

// Digests of a training after one of its steps.
struct Marks {
  using Hex = char[2 * 32 + 1];
  Hex step = "", run = "",
      weights = "";  // of parameters, running statistics and the optimiser's state; without that; parameters
};

inline bool equal(const Marks::Hex& a, const Marks::Hex& b) {
  return std::memcmp(a, b, sizeof a) == 0;
}

class FaultTraining {
 public:
  explicit FaultTraining(FaultKind kind);

  void step() {
    network_.train_step(data_.train_input(setup_.train), setup_.rule);
    engine_->wait();
  }
  Marks marks() const;
  std::size_t parameters() const;
  WatchedBackend& engine() { return *engine_; }

 private:
  bool is_parameter(const NetworkTensor& tensor) const;

  TemporaryFolder folder_;
  std::unique_ptr<WatchedBackend> engine_;
  Setup setup_;
  Network network_;
  ResidentData data_;
};

}  // namespace trainer::test
