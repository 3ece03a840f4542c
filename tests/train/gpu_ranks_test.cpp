// Training on several emulated GPUs, a thread each: the bits of one process, and replicas that stay equal.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "tests/emulator/emulator.hpp"
#include "tests/train/rank_training.hpp"

namespace trainer {
namespace {

std::unique_ptr<Backend> gpu_engine(const Trial& trial, int rank) {
  return make_cuda_backend({.device = rank, .precision = trial.precision, .bits = trial.bits});
}

class GpuRanks : public testing::Test {
 protected:
  void SetUp() override {
    emulator::reset();
    emulator::play({.devices = std::vector<emulator::Device>(8)});
  }
  void TearDown() override {
    EXPECT_EQ(emulator::failure(), "");
    EXPECT_EQ(emulator::loaded_in_capture(), std::vector<std::string>{});
    EXPECT_EQ(emulator::leak_report(), "");
    emulator::reset();
  }
};

TEST_F(GpuRanks, PortableBitsAreThoseOfOneProcess) {
  for (const char* model : {"sprint-lean", "quick"}) {
    // The last of 19 images fill no batch, and then some ranks have no rows.
    Trial trial{.model = model,
                .batch = 8,
                .images = 19,
                .steps = 3,
                .keep = Selection{.fraction = 0.4},
                .last_batch = LastBatch::mask};
    const Trained alone = train(trial, nullptr);
    trial.engine = gpu_engine;
    for (const int size : {1, 2, 4, 8}) {
      for (const Trained& one : train_on(trial, size))
        EXPECT_EQ(one.digest, alone.digest) << model << ", " << size;
    }
  }
}

double farthest(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return most;
}

// In a network without batch normalisation, whose statistics are each rank's own; with all images and with the hardest.
TEST_F(GpuRanks, FastEngineDiffersFromOneProcessByRoundingOnly) {
  for (const double fraction : {1.0, 0.4}) {
    const Trial trial{.model = "quick",
                      .batch = 10,
                      .images = 34,
                      .bits = Bits::fast,
                      .steps = 3,
                      .keep = Selection{.fraction = fraction},
                      .engine = gpu_engine};
    const Trained alone = train(trial, nullptr);
    const std::vector<Trained> all = train_on(trial, 3);
    for (const Trained& one : all) EXPECT_EQ(one.digest, all[0].digest) << fraction;
    ASSERT_EQ(all[0].weights.size(), alone.weights.size());
    EXPECT_LT(farthest(all[0].weights, alone.weights), 2e-3) << fraction;
  }
}

// Every precision and optimiser, with few bits: the replicas stay equal, also after a step in which some ranks have no rows.
TEST_F(GpuRanks, ReplicasStayEqual) {
  for (const auto& [model, precision, bits] : {std::tuple{"sprint-lean", Precision::fp32, 1},
                                               {"sprint-lean", Precision::bf16, 32},
                                               {"lenet", Precision::fp16, 16},
                                               {"quick", Precision::bf16, 1}}) {
    const Trial trial{.model = model,
                      .batch = 8,
                      .images = 17,
                      .bits = Bits::fast,
                      .precision = precision,
                      .steps = 4,
                      .gradient_bits = bits,
                      .warm_start_images = 8,
                      .last_batch = LastBatch::mask,
                      .engine = gpu_engine};
    const std::vector<Trained> all = train_on(trial, 3);
    for (const Trained& one : all) {
      EXPECT_EQ(one.digest, all[0].digest) << model << ", " << bits << " bits";
      EXPECT_TRUE(std::ranges::all_of(one.weights, [](float w) { return std::isfinite(w); })) << model;
    }
  }
  EXPECT_GT(emulator::runs("widen"), 0U);  // gradients of cuDNN's convolutions, which are exchanged in fp32
}

TEST_F(GpuRanks, SyncedStatisticsAreRefusedWithTheChoices) {
  const Trial trial{
      .model = "sprint", .batch = 8, .images = 16, .bits = Bits::fast, .sync = true, .engine = gpu_engine};
  try {
    (void)train_on(trial, 2);
    FAIL();
  } catch (const BackendError& error) {
    EXPECT_NE(std::string(error.what()).find("--bits portable"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace trainer
