// A training that is broken off, saved, and gone on with in a new process's place, against one that is not:
// the same bits at the end and the same figures on the way.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "tests/train/small_training.hpp"

namespace trainer::test {

inline void expect_same_epochs(const std::vector<EpochRecord>& a, const std::vector<EpochRecord>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].epoch, b[i].epoch);
    EXPECT_EQ(a[i].step, b[i].step);
    EXPECT_EQ(a[i].images, b[i].images);
    EXPECT_EQ(a[i].train_loss, b[i].train_loss);
    EXPECT_EQ(a[i].train_accuracy, b[i].train_accuracy);
    EXPECT_EQ(a[i].test.loss, b[i].test.loss);
  }
}

class BrokenTraining {
 public:
  explicit BrokenTraining(const SmallTraining& training, BackendKind kind = BackendKind::cpu)
      : training_(training), kind_(kind), whole_(training, kind) {
    EXPECT_EQ(whole_.run().reason, StopReason::finished);
  }

  // Stops after so many steps, which a launch has to end with, saves, and goes on with a new backend, network
  // and data.
  void expect_same_when_stopped(std::size_t step) {
    SCOPED_TRACE("stopped after step " + std::to_string(step));
    TrainingTrial first(training_, kind_);
    first.stop_after = step;
    const LoopResult result = first.run();
    ASSERT_EQ(result.reason, StopReason::signal);
    ASSERT_EQ(result.position.step, step);
    const std::filesystem::path file = first.folder() / "checkpoint.safetensors";
    first.save(file, result.position);
    TrainingTrial second(training_, kind_);
    EXPECT_EQ(second.run_from(second.load(file)).reason, StopReason::finished);
    EXPECT_EQ(state_of(second.network()), state_of(whole_.network()));
    std::vector<EpochRecord> epochs = first.epochs;
    epochs.insert(epochs.end(), second.epochs.begin(), second.epochs.end());
    expect_same_epochs(epochs, whole_.epochs);
  }

 private:
  SmallTraining training_;
  BackendKind kind_;
  TrainingTrial whole_;
};

}  // namespace trainer::test
