// What the loop of `trainer train` tells, shown and recorded.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "trainer/console/progress.hpp"
#include "trainer/system/signals.hpp"
#include "trainer/train/digest.hpp"
#include "trainer/train/loop.hpp"
#include "trainer/train/recorded_run.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

class TrainingObserver final : public LoopObserver {
 public:
  TrainingObserver(const PreparedRun& run, const Network& network, RecordedRun& recorded, Console& console,
                   const SignalGuard& signals, std::uint64_t evaluations)
      : run_(run),
        network_(network),
        recorded_(recorded),
        console_(console),
        signals_(signals),
        evaluations_(evaluations) {}

  void progressed(const LoopProgress& progress) override {
    if (first_step_seconds_ == 0) first_step_seconds_ = seconds_since(run_.start);
    const auto done = static_cast<double>(progress.step - progress.epoch_begin);
    const auto all = static_cast<double>(progress.epoch_end - progress.epoch_begin);
    console_.progress(done / all, [&] {
      return fmt::format("epoch {}/{}  step {} of {}", evaluations_ + 1, run_.setup.epochs(), progress.step,
                         progress.total_steps);
    });
  }

  void epoch_done(const EpochRecord& epoch) override {
    evaluations_ = epoch.epoch;
    recorded_.add_epoch(epoch);
    recorded_.add_weights(network_);
    console_.line(epoch_line(run_.setup, epoch));
    print_event(console_, "epoch", epoch_json(epoch));
  }

  void checkpoint_due(const LoopPosition& position) override {
    recorded_.save_checkpoint(network_, position);
  }

  void digest_due(std::uint64_t step) override {
    digests_by_step_.push_back({{"step", step}, {"digest", digest_with_optimizer(network_)}});
  }

  bool stop_asked() const override { return signals_.stop_signal() != 0; }

  double first_step_seconds() const { return first_step_seconds_; }  // since the program's start
  const nlohmann::ordered_json& digests_by_step() const { return digests_by_step_; }

 private:
  const PreparedRun& run_;
  const Network& network_;
  RecordedRun& recorded_;
  Console& console_;
  const SignalGuard& signals_;
  std::uint64_t evaluations_;  // so far
  double first_step_seconds_ = 0;
  nlohmann::ordered_json digests_by_step_ = nlohmann::ordered_json::array();
};

}  // namespace trainer
