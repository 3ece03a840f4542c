// The device runs ahead by as many launches as its backend allows; everything here happens between two of them.
#include "trainer/train/loop.hpp"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

#include "trainer/system/clock.hpp"
#include "trainer/train/rank_share.hpp"

namespace trainer {

namespace {

class Loop {
 public:
  Loop(const Setup& setup, Network& network, Backend& backend, const ResidentData& data,
       const LoopLimits& limits, LoopObserver& observer)
      : setup_(setup),
        network_(network),
        backend_(backend),
        limits_(limits),
        observer_(observer),
        ranks_(network, backend),
        test_(network, backend, data.test_input(setup.test)) {
    train_ = [this, input = data.train_input(setup.train)] { network_.train_step(input, rule_); };
    if (setup.validates()) validation_.emplace(network, backend, data.train_input(setup.validation));
  }

  LoopResult run(const LoopPosition& start) {
    result_.position = start;
    record();
    result_.graph_nodes = step_->nodes();
    bool trained = broken_off_before_evaluation();
    while (true) {
      if (trained && !close_epoch()) break;
      if (result_.position.step >= setup_.total_steps) break;
      if (!train_until(next_evaluation(setup_, result_.position.step))) break;
      trained = true;
    }
    ranks_.add_up(result_.position.step);
    return result_;
  }

 private:
  // Records the step as it is from now on.
  void record() {
    if (GradientExchange* exchange = network_.exchange()) exchange->before_launch(result_.position.step);
    if (step_) backend_.wait();
    rule_ = ranks_.rule_from(result_.position.step, setup_.rule);
    step_ = backend_.record({{train_, 1}});
  }

  // A resumed run may have been stopped between the last step of an epoch and its evaluation.
  bool broken_off_before_evaluation() {
    const std::uint64_t step = result_.position.step;
    if (step == 0 || next_evaluation(setup_, step - 1) != step) return false;
    ranks_.expect("the start after step", step);
    return sums_of_all(network_.read_training_state(), true, backend_.part())->images > 0;
  }

  // False if the run stops within the epoch; the position then counts the steps done.
  bool train_until(std::uint64_t end) {
    LoopPosition& at = result_.position;
    const std::uint64_t begin = at.step;
    Clock::time_point start = Clock::now();
    while (at.step < end) {
      if (stop_now()) {
        settle(start);
        note_bad_step(network_.read_training_state());
        return false;
      }
      const std::uint64_t steps = steps_of_launch(end);
      ranks_.expect("step", at.step + steps, true);
      step_->launch(steps);
      at.step += steps;
      if (at.step == backend_.part().full_steps) record();
      observer_.progressed({at.step, setup_.total_steps, begin, end});
      if (!backend_.runs_ahead() && note_bad_step(network_.read_training_state())) return false;
      const bool checkpoint = at.step < end && is_due(limits_.checkpoint_steps);
      const bool digest = is_due(limits_.digest_steps);
      if (!checkpoint && !digest) continue;
      settle(start);
      if (note_bad_step(network_.read_training_state())) return false;
      if (digest) observer_.digest_due(at.step);
      if (checkpoint) save_checkpoint();
      start = Clock::now();
    }
    settle(start);
    return true;
  }

  // Whether something is done after every `steps` steps, and this is one of them.
  bool is_due(std::uint64_t steps) const { return steps > 0 && result_.position.step % steps == 0; }

  // The number of steps that one launch takes, up to the end of the epoch or of the call, or the next checkpoint or digest within it.
  std::uint64_t steps_of_launch(std::uint64_t end) const {
    const std::uint64_t step = result_.position.step;
    std::uint64_t stop = limits_.max_steps > 0 ? std::min(end, limits_.max_steps) : end;
    if (step < backend_.part().full_steps) stop = std::min(stop, backend_.part().full_steps);
    for (const std::uint64_t every : {limits_.checkpoint_steps, limits_.digest_steps})
      if (every > 0) stop = std::min(stop, (step / every + 1) * every);
    return std::min(stop - step, backend_.repeats_per_launch());
  }

  bool stop_now() {
    while (backend_.busy() && (network_.exchange() != nullptr || !observer_.stop_asked()))
      std::this_thread::sleep_for(kPollInterval);
    bool signal = observer_.stop_asked();
    const bool late = limits_.max_seconds && seconds_since(started_) >= *limits_.max_seconds;
    if (ranks_.stops(result_.position.step, signal || late, signal))
      result_.reason = signal ? StopReason::signal : StopReason::time_limit;
    else if (limits_.max_steps > 0 && result_.position.step >= limits_.max_steps)
      result_.reason = StopReason::step_limit;
    else
      return false;
    return true;
  }

  void save_checkpoint() {
    ranks_.add_up(result_.position.step);
    observer_.checkpoint_due(result_.position);
  }

  void settle(Clock::time_point start) {
    backend_.wait();
    result_.position.epoch_seconds += seconds_since(start);
  }

  // True if a loss was not finite: from that step on nothing was updated.
  bool note_bad_step(const StepState& state) {
    if (state.first_bad_step == kNoBadStep) return false;
    result_.reason = StopReason::bad_loss;
    result_.bad_step = state.first_bad_step;
    result_.position.step = state.first_bad_step;
    return true;
  }

  // Evaluates, reports and saves at the end of an epoch; false if the run is to end.
  bool close_epoch() {
    LoopPosition& at = result_.position;
    const Clock::time_point start = Clock::now();
    const std::function<bool()> stop_asked = [this] { return observer_.stop_asked(); };
    ranks_.expect("the evaluation after step", at.step);
    network_.share_statistics();
    const std::optional<Evaluation::Result> test = test_.run(stop_asked);
    if (test && note_bad_step(test->training)) return false;
    std::optional<Evaluation::Result> validation;
    if (validation_ && test) validation = validation_->run(stop_asked);
    if (!test || (validation_ && !validation)) {
      result_.reason = StopReason::signal;
      return false;
    }
    if (!std::isfinite(test->score.loss) || (validation && !std::isfinite(validation->score.loss))) {
      // The last update ruined the weights, and no training loss has shown it yet.
      result_.reason = StopReason::bad_loss;
      result_.bad_step = at.step - 1;
      return false;
    }
    EpochRecord record;
    record.exchange_seconds = ranks_.exchange_seconds();
    record.test = test->score;
    if (validation) record.validation = validation->score;
    record.evaluation_seconds = seconds_since(start);
    record.epoch = ++at.epochs;
    record.step = at.step;
    record.seconds = std::exchange(at.epoch_seconds, 0);
    record.learning_rate =
        learning_rate(setup_.rule.schedule, at.step - 1, epoch_of(setup_.train, at.step - 1));
    take_training_sums(test->training, record);
    observer_.epoch_done(record);
    return go_on(record.validation ? record.validation->accuracy : record.test.accuracy);
  }

  // Moves the sums since the last evaluation from the training's state into the record.
  void take_training_sums(StepState state, EpochRecord& record) {
    const Score trained = score_of(*sums_of_all(state, true, backend_.part()));
    record.images = trained.images;
    record.train_loss = trained.loss;
    record.train_accuracy = trained.accuracy;
    state.clear_sums();
    network_.write_training_state(state);
  }

  bool go_on(double accuracy) {
    const LoopPosition& at = result_.position;
    if (limits_.target_accuracy && accuracy >= *limits_.target_accuracy) {
      result_.reason = StopReason::target;
      return false;
    }
    const bool due = limits_.checkpoint_steps > 0
                         ? is_due(limits_.checkpoint_steps)
                         : limits_.checkpoint_epochs > 0 && at.epochs % limits_.checkpoint_epochs == 0;
    if (due && at.step < setup_.total_steps) save_checkpoint();
    return true;
  }

  const Setup& setup_;
  Network& network_;
  Backend& backend_;
  LoopLimits limits_;
  LoopObserver& observer_;
  RankControl ranks_;
  TrainingRule rule_;  // that the recorded step follows
  std::function<void()> train_;
  std::unique_ptr<Recording> step_;
  Evaluation test_;
  std::optional<Evaluation> validation_;
  Clock::time_point started_ = Clock::now();
  LoopResult result_;
};

}  // namespace

LoopResult run_loop(const Setup& setup, Network& network, Backend& backend, const ResidentData& data,
                    const LoopLimits& limits, const LoopPosition& start, LoopObserver& observer) {
  return Loop(setup, network, backend, data, limits, observer).run(start);
}

}  // namespace trainer
