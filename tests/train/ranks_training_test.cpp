// Training on several ranks, which are threads here: the same network on all of them, and the same as one process's.
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "models/spec.hpp"
#include "tests/support/thread_ranks.hpp"
#include "trainer/train/digest.hpp"
#include "trainer/train/loop.hpp"
#include "trainer/train/rank_share.hpp"

namespace trainer {
namespace {

data::Dataset some_data(std::uint32_t images) {
  data::Dataset dataset;
  dataset.name = "noise";
  dataset.shape = {28, 28, 1};
  dataset.classes = 10;
  std::uint32_t random = 1;
  const auto next = [&] { return static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24); };
  for (data::Split* split : {&dataset.train, &dataset.test}) {
    split->images.resize(std::size_t{images} * 28 * 28);
    split->labels.resize(images);
    for (std::uint8_t& pixel : split->images) pixel = next();
    for (std::uint8_t& label : split->labels) label = next() % 10;
  }
  return dataset;
}

class Quiet final : public LoopObserver {
 public:
  void progressed(const LoopProgress&) override {}
  void epoch_done(const EpochRecord& record) override { epochs.push_back(record); }
  void checkpoint_due(const LoopPosition&) override {}
  bool stop_asked() const override { return false; }
  std::vector<EpochRecord> epochs;
};

struct Trained {
  std::string digest;
  std::vector<float> weights;
  std::vector<EpochRecord> epochs;
};

struct Trial {
  std::string model;
  int batch = 16;
  std::uint32_t images = 90;
  Bits bits = Bits::portable;
  std::uint64_t steps = 4;
  bool sync = false;
  int gradient_bits = 32;
};

Trained train(const Trial& trial, Communicator* ranks) {
  TrainSettings settings;
  settings.batch = trial.batch;
  if (trial.bits == Bits::portable) settings.bits = "portable";
  if (trial.sync) settings.sync_batchnorm = true;
  if (trial.gradient_bits < 32) settings.gradient_bits = trial.gradient_bits;
  Setup setup =
      make_setup(find_spec(trial.model, TRAINER_SOURCE_DIR "/models"), settings, some_data(trial.images));
  const auto backend = make_cpu_backend({.threads = 1, .bits = trial.bits});
  if (ranks != nullptr) backend->join(share_out(setup, *ranks));
  Network network(setup.plan, *backend, Purpose::training, setup.rule.optimizers);
  network.initialize(1);
  network.write_training_state({.seed = 1});
  const ResidentData data(*backend, setup);
  Quiet observer;
  (void)run_loop(setup, network, *backend, data, {.max_steps = trial.steps}, {}, observer);
  Trained result{digest_with_optimizer(network), {}, observer.epochs};
  for (const NetworkTensor& tensor : network.tensors()) {
    const std::vector<float> values = network.read(tensor);
    if (tensor.arena == 0) result.weights.insert(result.weights.end(), values.begin(), values.end());
  }
  return result;
}

std::vector<Trained> train_on(const Trial& trial, int size) {
  std::vector<Trained> results(static_cast<std::size_t>(size));
  run_ranks(size, [&](Communicator& ranks) {
    results[static_cast<std::size_t>(ranks.rank())] = train(trial, &ranks);
  });
  return results;
}

class RanksOfNetworks : public testing::TestWithParam<const char*> {};

TEST_P(RanksOfNetworks, PortableBitsAreThoseOfOneProcess) {
  // 8 divides 16; the last of 90 images fill no batch of 21, and then some ranks have no rows.
  for (const Trial& trial :
       {Trial{.model = GetParam()}, Trial{.model = GetParam(), .batch = 21, .images = 87, .steps = 6}}) {
    const Trained alone = train(trial, nullptr);
    for (const int size : {1, 2, 4, 8}) {
      const std::vector<Trained> all = train_on(trial, size);
      for (const Trained& one : all)
        EXPECT_EQ(one.digest, alone.digest) << size << " ranks, batch " << trial.batch;
      ASSERT_EQ(all[0].epochs.size(), alone.epochs.size());
      for (std::size_t e = 0; e < alone.epochs.size(); ++e) {
        EXPECT_EQ(all[0].epochs[e].test.accuracy, alone.epochs[e].test.accuracy);
        EXPECT_EQ(all[0].epochs[e].images, alone.epochs[e].images);
        EXPECT_NEAR(all[0].epochs[e].train_loss, alone.epochs[e].train_loss, 1e-6);
        EXPECT_NEAR(all[0].epochs[e].test.loss, alone.epochs[e].test.loss, 1e-6);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, RanksOfNetworks,
                         testing::Values("quick", "lenet", "sprint-lean", "cntk-convnet", "pytorch-example"));

TEST(Ranks, FastEngineDiffersFromOneProcessByRoundingOnly) {
  for (const char* model : {"quick", "sprint"}) {
    const Trial trial{
        .model = model, .batch = 18, .images = 100, .bits = Bits::fast, .steps = 3, .sync = true};
    const Trained alone = train(trial, nullptr);
    const std::vector<Trained> all = train_on(trial, 4);
    for (const Trained& one : all) {
      EXPECT_EQ(one.weights, all[0].weights);
      ASSERT_EQ(one.weights.size(), alone.weights.size());
      double most = 0;
      for (std::size_t i = 0; i < one.weights.size(); ++i)
        most = std::max(
            most, std::abs(static_cast<double>(one.weights[i]) - static_cast<double>(alone.weights[i])));
      EXPECT_LT(most, 2e-3) << model;
    }
  }
}

// Every network and optimiser, with few bits and each rank's own statistics: the replicas stay equal.
TEST(Ranks, ReplicasStayEqual) {
  for (const char* model : {"quick", "lenet", "sprint-lean", "sprint", "cntk-convnet"}) {
    for (const int bits : {32, 16, 1}) {
      const Trial trial{
          .model = model, .batch = 17, .images = 35, .bits = Bits::fast, .steps = 5, .gradient_bits = bits};
      const std::vector<Trained> all = train_on(trial, 3);
      for (const Trained& one : all) {
        EXPECT_EQ(one.digest, all[0].digest) << model << ", " << bits << " bits";
        EXPECT_TRUE(std::ranges::all_of(one.weights, [](float w) { return std::isfinite(w); })) << model;
      }
    }
  }
}

}  // namespace
}  // namespace trainer
