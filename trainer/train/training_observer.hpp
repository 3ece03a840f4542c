// What the loop of `trainer train` tells, shown and recorded, and how long the training will take.
#pragma once

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>

#include "trainer/console/progress.hpp"
#include "trainer/system/signals.hpp"
#include "trainer/train/digest.hpp"
#include "trainer/train/loop.hpp"
#include "trainer/train/recorded_run.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

// How fast a run trains and when it will end, over all that this process has trained, so that the estimate becomes steadier.
class Pace {
 public:
  // Until one has been timed, an evaluation is taken to last as long as the training of so many images.
  explicit Pace(double images_of_evaluation) : images_of_evaluation_(images_of_evaluation) {}

  // So many images of the run have been trained by the time `now`, in seconds. The first call only begins to count.
  void trained(double images, double now) {
    if (!begun_) begin_ = {images, now};
    begun_ = true;
    last_ = {images, now};
  }
  void evaluated(double seconds) {
    ++evaluations_;
    evaluation_seconds_ += seconds;
  }

  // Nothing until a second of training has been counted.
  [[nodiscard]] std::optional<double> images_per_second() const {
    const double seconds = last_.time - begin_.time - evaluation_seconds_;
    return seconds < 1 ? std::nullopt : std::optional((last_.images - begin_.images) / seconds);
  }

  // The seconds for the training of so many images, and for so many evaluations.
  [[nodiscard]] std::optional<double> seconds_left(double images, double evaluations) const {
    const std::optional<double> rate = images_per_second();
    if (!rate || !(*rate > 0)) return std::nullopt;
    const double each = evaluations_ > 0 ? evaluation_seconds_ / evaluations_ : images_of_evaluation_ / *rate;
    return images / *rate + evaluations * each;
  }

 private:
  struct Mark {
    double images = 0;
    double time = 0;
  };
  double images_of_evaluation_;
  bool begun_ = false;
  Mark begin_, last_;
  int evaluations_ = 0;
  double evaluation_seconds_ = 0;
};

class TrainingObserver final : public LoopObserver {
 public:
  TrainingObserver(const PreparedRun& run, const Network& network, RecordedRun& recorded, Console& console,
                   const SignalGuard& signals, const LoopLimits& limits, std::uint64_t evaluations)
      : run_(run),
        network_(network),
        recorded_(recorded),
        console_(console),
        signals_(signals),
        limits_(limits),
        evaluations_(evaluations) {}

  void progressed(const LoopProgress& progress) override {
    const double now = seconds_since(run_.start);
    if (first_step_seconds_ == 0) first_step_seconds_ = now;
    pace_.trained(images_until(progress.step), now);
    const auto done = static_cast<double>(progress.step - progress.epoch_begin);
    const auto all = static_cast<double>(progress.epoch_end - progress.epoch_begin);
    console_.progress(done / all, [&] {
      return fmt::format("epoch {}/{}{}  step {} of {}", evaluations_ + 1, run_.setup.epochs(),
                         pace_text(seconds_left(progress.step, now), pace_.images_per_second()),
                         progress.step, progress.total_steps);
    });
  }

  void epoch_done(const EpochRecord& epoch) override {
    evaluations_ = epoch.epoch;
    pace_.evaluated(epoch.evaluation_seconds);
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
  double images_until(std::uint64_t step) const {
    return static_cast<double>(images_before(run_.setup.train, step));
  }

  // Until the run's end: that of the recipe, or a limit before it.
  std::optional<double> seconds_left(std::uint64_t step, double now) const {
    const Setup& setup = run_.setup;
    const std::uint64_t end = limits_.max_steps > 0 ? limits_.max_steps : setup.total_steps;
    const std::uint64_t evaluations = end < setup.total_steps ? epoch_of(setup.train, end) : setup.epochs();
    std::optional<double> left =
        pace_.seconds_left(images_until(std::min(end, setup.total_steps)) - images_until(step),
                           static_cast<double>(evaluations) - static_cast<double>(evaluations_));
    if (left && limits_.max_seconds)
      left = std::clamp(*limits_.max_seconds - (now - first_step_seconds_), 0.0, *left);
    return left;
  }

  // Counted in images of training, by the arithmetic of both.
  static double length_of_evaluation(const Setup& setup) {
    return static_cast<double>(setup.plan.forward_flops) / static_cast<double>(setup.plan.training_flops) *
           (setup.test.images + setup.validation.images);
  }

  const PreparedRun& run_;
  const Network& network_;
  RecordedRun& recorded_;
  Console& console_;
  const SignalGuard& signals_;
  const LoopLimits& limits_;
  Pace pace_{length_of_evaluation(run_.setup)};
  std::uint64_t evaluations_;  // so far
  double first_step_seconds_ = 0;
  nlohmann::ordered_json digests_by_step_ = nlohmann::ordered_json::array();
};

}  // namespace trainer
