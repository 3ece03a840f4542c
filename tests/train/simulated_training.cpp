// Each rank does what TrainingRun does between the command line and the record.
#include "tests/train/simulated_training.hpp"

#include <fmt/format.h>

#include "models/spec.hpp"
#include "tests/train/small_training.hpp"
#include "trainer/train/checkpoint.hpp"
#include "trainer/train/digest.hpp"
#include "trainer/train/rank_share.hpp"

namespace trainer::test {

namespace {

constexpr SmallData kData{.train = 120, .test = 50};

Spec spec_of(const RankedTraining& training) {
  if (training.network != "small") return find_spec(training.network, TRAINER_SOURCE_DIR "/models");
  SmallNetwork network = sprint_like({6, 12, 48}).network;
  network.more_recipe += "  keep: {share: 0.4, from: 0.3}\n";
  return parse_spec(small_network(network), "small.yaml");
}

Setup setup_of(const RankedTraining& training, const data::Dataset& dataset) {
  TrainSettings settings;
  settings.batch = 16;
  settings.epochs = 2;
  settings.rate = training.rate;
  if (training.validation > 0) settings.validation = training.validation;
  if (training.bits == Bits::portable) settings.bits = "portable";
  if (training.gradient_bits < 32) settings.gradient_bits = training.gradient_bits;
  if (training.warm_start_images > 0) settings.warm_start_images = training.warm_start_images;
  return make_setup(spec_of(training), settings, dataset);
}

// One rank, or the only process.
class TrainingRank final : public LoopObserver {
 public:
  TrainingRank(Setup& setup, const RankedTraining& training, const std::filesystem::path& checkpoint,
               Communicator* ranks)
      : setup_(setup),
        training_(training),
        checkpoint_(checkpoint),
        ranks_(ranks),
        backend_(make_cpu_backend({.threads = 1, .bits = training.bits})) {
    if (ranks != nullptr) {
      ranks->begin("the start", 60);
      backend_->join(share_out(setup, *ranks));
    }
    network_.emplace(setup.plan, *backend_, Purpose::training, setup.rule.optimizers);
  }

  void train(const Attempt& attempt, RankEnd& end) {
    const int rank = ranks_ != nullptr ? ranks_->rank() : 0;
    if (!attempt.stops.empty()) stops_ = attempt.stops.at(static_cast<std::size_t>(rank));
    end_ = &end;
    const LoopPosition start = load_start();
    end.start = start.step;
    end.start_digest = digest_with_optimizer(*network_);
    if (ranks_ != nullptr) require_same_training(setup_, "fp32", *network_, start.step, *ranks_);
    const ResidentData data(*backend_, setup_);
    LoopLimits limits{.checkpoint_steps = training_.checkpoint_steps, .digest_steps = training_.digest_steps};
    if (attempt.late_rank) limits.max_seconds = *attempt.late_rank == rank ? 0 : 1e9;
    const LoopResult result = run_loop(setup_, *network_, *backend_, data, limits, start, *this);
    if (result.reason != StopReason::bad_loss) checkpoint_due(result.position);
    end.digest = digest_with_optimizer(*network_);
    end.result = result;
  }

  void progressed(const LoopProgress& /*progress*/) override {}
  void epoch_done(const EpochRecord& record) override { end_->epochs.push_back(record); }
  void checkpoint_due(const LoopPosition& position) override {
    if (is_first()) save_network(checkpoint_, setup_, *network_, backend_->info(), &position);
  }
  void digest_due(std::uint64_t step) override { end_->digests[step] = digest_with_optimizer(*network_); }
  bool stop_asked() const override { return looks_++ >= stops_; }

 private:
  bool is_first() const { return ranks_ == nullptr || ranks_->rank() == 0; }

  LoopPosition load_start() {
    SavedNetwork saved;
    saved.state.seed = setup_.settings.seed;
    if (std::filesystem::exists(checkpoint_)) {
      const SafetensorsFile file = SafetensorsFile::read(checkpoint_);
      saved = read_saved_network(file);
      load_tensors(file, *network_);
      if (setup_.settings.gradient_bits && network_->exchange() != nullptr) load_residuals(file, *network_);
      if (!is_first()) {
        saved.state.loss_sum = 0;
        saved.state.correct = saved.state.images = 0;
      }
    } else {
      network_->initialize(setup_.settings.seed);
    }
    network_->write_training_state(saved.state);
    return saved.position;
  }

  Setup& setup_;
  const RankedTraining& training_;
  const std::filesystem::path& checkpoint_;
  Communicator* ranks_;
  std::unique_ptr<Backend> backend_;
  std::optional<Network> network_;
  RankEnd* end_ = nullptr;
  std::uint64_t stops_ = kNever;
  mutable std::uint64_t looks_ = 0;
};

}  // namespace

SimulatedTraining::SimulatedTraining() {
  const TemporaryFolder folder;
  dataset_ = data::load_dataset(write_small_data(folder, kData));
}

AttemptResult SimulatedTraining::run(const RankedTraining& training, const Attempt& attempt,
                                     const std::filesystem::path& checkpoint) const {
  AttemptResult result;
  result.ends.resize(static_cast<std::size_t>(std::max(attempt.ranks, 1)));
  const auto body = [&](Communicator* ranks) {
    const auto rank = static_cast<std::size_t>(ranks != nullptr ? ranks->rank() : 0);
    Setup setup = setup_of(training, dataset_);
    TrainingRank(setup, training, checkpoint, ranks).train(attempt, result.ends[rank]);
  };
  if (attempt.ranks > 0) {
    result.run = run_simulated(attempt.seed, attempt.ranks, attempt.messages,
                               [&](Communicator& communicator) { body(&communicator); });
  } else {
    body(nullptr);
    result.run.errors.resize(1);
  }
  return result;
}

}  // namespace trainer::test
