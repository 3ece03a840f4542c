// A whole small training in this process, with an observer that notes everything.
#pragma once

#include <cstring>
#include <fmt/format.h>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/backend.hpp"
#include "tests/support/backends.hpp"
#include "tests/train/small_data.hpp"
#include "trainer/train/checkpoint.hpp"
#include "trainer/train/loop.hpp"

namespace trainer::test {

// All parameters, statistics and optimiser values, one behind the other.
inline std::vector<float> state_of(const Network& network) {
  std::vector<float> all;
  for (const NetworkTensor& tensor : network.tensors()) {
    const std::vector<float> values = network.read(tensor);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

// NaN is as good a value as any.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct SmallTraining {
  SmallData data = {};
  SmallNetwork network = {};
  TrainSettings settings = {};
};

struct SprintWidths {
  int first, second, dense;
};

// Cropped images, norms without gain behind pools, GELU, Muon on some weights beside Adam on the rest, scaled
// logits and smoothed labels.
inline SmallTraining sprint_like(const SprintWidths& widths) {
  const auto layer = [](const char* kind, int out, const char* rest) {
    return fmt::format("  - {}: {{out: {}, {}bias: false}}\n", kind, out, rest);
  };
  const std::string pool = "  - maxpool: {size: 2}\n";
  const std::string norm = "  - batchnorm: {gain: false, momentum: 0.3}\n  - gelu\n";
  return {.network = {.optimizer = "{adam: {beta1: 0.7, beta2: 0.9}}",
                      .rate = "0.01",
                      .layers = layer("conv", widths.first, "kernel: 3, ") + pool + norm +
                                layer("conv", widths.second, "kernel: 3, ") + pool + norm +
                                layer("dense", widths.dense, "") + norm,
                      .more_recipe = "  input: {crop: 10}\n  logit_scale: 0.5\n  label_smoothing: 0.1\n"
                                     "  schedule: {linear: {warmup: 0.1, start: 0.2, end: 0.05}}\n"
                                     "  groups:\n    - weights: [conv1, conv2, dense1]\n"
                                     "      optimizer: {muon: {momentum: 0.6, passes: 3}}\n"
                                     "      rate: 0.02\n"}};
}

class TrainingTrial final : public LoopObserver {
 public:
  explicit TrainingTrial(const SmallTraining& training, BackendKind kind = BackendKind::cpu)
      : backend_(make_backend(kind, 1)),
        setup_(make_setup(parse_spec(small_network(training.network), "small.yaml"), training.settings,
                          data::load_dataset(write_small_data(folder_, training.data)))),
        network_(setup_.plan, *backend_, Purpose::training, setup_.rule.optimizers),
        data_(*backend_, setup_) {
    network_.initialize(setup_.settings.seed);
    StepState state;
    state.seed = setup_.settings.seed;
    network_.write_training_state(state);
  }

  LoopResult run(const LoopLimits& limits = {}) { return run_from({}, limits); }
  LoopResult run_from(const LoopPosition& start, const LoopLimits& limits = {}) {
    return run_loop(setup_, network_, *backend_, data_, limits, start, *this);
  }

  // The next steps, launched one by one and not recorded, without an evaluation.
  void step(std::uint64_t steps) {
    const StepInput input = data_.train_input(setup_.train);
    for (std::uint64_t s = 0; s < steps; ++s) network_.train_step(input, setup_.rule);
    backend_->wait();
  }

  // Takes the state that `file` holds; gives its position.
  LoopPosition load(const std::filesystem::path& path) {
    const SafetensorsFile file = SafetensorsFile::read(path);
    const SavedNetwork saved = read_saved_network(file);
    load_tensors(file, network_);
    network_.write_training_state(saved.state);
    return saved.position;
  }

  std::optional<Score> test_score() {
    return evaluate(network_, *backend_, data_.test_input(setup_.test), [] { return false; });
  }

  void progressed(const LoopProgress& progress) override {
    if (!backend_->runs_ahead()) note_step();
    last = progress;
    if (on_progress) on_progress(progress);
  }
  void epoch_done(const EpochRecord& record) override { epochs.push_back(record); }
  void checkpoint_due(const LoopPosition& position) override {
    if (backend_->runs_ahead()) note_step();
    checkpoints.push_back(position);
    if (on_checkpoint) on_checkpoint(position);
  }
  bool stop_asked() const override {
    return (stop_after && last.step >= *stop_after) || (stop_when && stop_when());
  }

  void save(const std::filesystem::path& path, const LoopPosition& position) const {
    save_network(path, setup_, network_, backend_->info(), &position);
  }

  const Setup& setup() const { return setup_; }
  Network& network() { return network_; }
  const TemporaryFolder& folder() const { return folder_; }

  // Of each step, the loss as the mean over its images. A backend that runs ahead is only looked at where a
  // checkpoint is due: after every step but the last with checkpoint_steps = 1.
  std::vector<double> losses;
  std::vector<std::uint32_t> valid_rows;
  std::vector<EpochRecord> epochs;
  std::vector<LoopPosition> checkpoints;
  LoopProgress last;
  std::optional<std::size_t> stop_after;  // steps
  std::function<bool()> stop_when;
  std::function<void(const LoopProgress&)> on_progress;
  std::function<void(const LoopPosition&)> on_checkpoint;

 private:
  void note_step() {
    const StepState state = network_.read_training_state();
    losses.push_back(static_cast<double>(state.batch_loss) / state.valid);
    valid_rows.push_back(state.valid);
  }

  TemporaryFolder folder_;
  std::unique_ptr<Backend> backend_;
  Setup setup_;
  Network network_;
  ResidentData data_;
};

}  // namespace trainer::test
