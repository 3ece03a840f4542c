// A short training on several ranks, which are threads, of any engine: for tests of what they end with.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/spec.hpp"
#include "tests/support/thread_ranks.hpp"
#include "trainer/train/digest.hpp"
#include "trainer/train/loop.hpp"
#include "trainer/train/rank_share.hpp"

namespace trainer {

inline data::Dataset some_data(std::uint32_t images) {
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

struct Trial;

inline std::unique_ptr<Backend> cpu_engine(const Trial& trial, int rank);

struct Trial {
  std::string model;
  int batch = 16;
  std::uint32_t images = 90;
  Bits bits = Bits::portable;
  Precision precision = Precision::fp32;
  std::uint64_t steps = 4;
  bool sync = false;
  int gradient_bits = 32;
  std::uint64_t warm_start_images = 0;
  std::optional<Selection> keep = {};
  std::optional<float> beta2 = {};  // Adam's
  std::optional<LastBatch> last_batch = {};
  std::optional<double> average = {};  // of the weights
  double clip_norm = 0;
  bool by_image = false;
  std::function<std::unique_ptr<Backend>(const Trial&, int rank)> engine = cpu_engine;
};

inline std::unique_ptr<Backend> cpu_engine(const Trial& trial, int /*rank*/) {
  return make_cpu_backend({.threads = 1, .bits = trial.bits});
}

inline Trained train(const Trial& trial, Communicator* ranks) {
  TrainSettings settings;
  settings.batch = trial.batch;
  if (trial.bits == Bits::portable) settings.bits = "portable";
  if (trial.sync) settings.sync_batchnorm = true;
  if (trial.gradient_bits < 32) settings.gradient_bits = trial.gradient_bits;
  if (trial.warm_start_images > 0) settings.warm_start_images = trial.warm_start_images;
  Spec spec = find_spec(trial.model, TRAINER_SOURCE_DIR "/models");
  if (trial.beta2) spec.recipe.optimizer.beta2 = *trial.beta2;
  if (trial.keep) spec.recipe.keep = *trial.keep;
  if (trial.last_batch) spec.recipe.last_batch = *trial.last_batch;
  spec.recipe.average = trial.average;
  spec.recipe.clip_norm = trial.clip_norm;
  spec.recipe.input.by_image = trial.by_image;
  Setup setup = make_setup(spec, settings, some_data(trial.images));
  const auto backend = trial.engine(trial, ranks != nullptr ? ranks->rank() : 0);
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

inline std::vector<Trained> train_on(const Trial& trial, int size) {
  std::vector<Trained> results(static_cast<std::size_t>(size));
  run_ranks(size, [&](Communicator& ranks) {
    results[static_cast<std::size_t>(ranks.rank())] = train(trial, &ranks);
  });
  return results;
}

}  // namespace trainer
