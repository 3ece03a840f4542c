// The loop over launches. The device runs ahead by as many launches as its backend allows; everything here
// happens between two of them.
#include "trainer/loop.hpp"

#include <chrono>
#include <cmath>
#include <thread>
#include <utility>

namespace trainer {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Buffer hold(Backend& backend, const auto& values, const char* what) {
  return backend.hold(values.data(), values.size(), what);
}

class Loop {
 public:
  Loop(const Setup& setup, Network& network, Backend& backend, const ResidentData& data,
       const LoopLimits& limits, LoopObserver& observer)
      : setup_(setup),
        network_(network),
        backend_(backend),
        data_(data),
        limits_(limits),
        observer_(observer) {
    const StepInput input = data.train_input(setup.train);
    step_ = backend.record([&network, &setup, input] { network.train_step(input, setup.rule); });
  }

  LoopResult run(const LoopPosition& start) {
    result_.position = start;
    while (true) {
      if (evaluation_pending() && !close_pass()) break;
      if (result_.position.step >= setup_.total_steps) break;
      if (!train_until(next_evaluation(setup_, result_.position.step))) break;
    }
    return result_;
  }

 private:
  bool evaluation_pending() const {
    const std::uint64_t step = result_.position.step;
    return step > 0 && next_evaluation(setup_, step - 1) == step && network_.read_training_state().images > 0;
  }

  // False when the run stops inside the pass; the position then counts the steps done.
  bool train_until(std::uint64_t end) {
    LoopPosition& at = result_.position;
    const std::uint64_t begin = at.step;
    Clock::time_point start = Clock::now();
    while (at.step < end) {
      if (stop_now()) {
        settle(start);
        return false;
      }
      step_->launch();
      ++at.step;
      observer_.progressed({at.step, setup_.total_steps, begin, end});
      if (!backend_.runs_ahead() && network_.read_training_state().first_bad_step != kNoBadStep) break;
      if (at.step < end && limits_.checkpoint_steps > 0 && at.step % limits_.checkpoint_steps == 0) {
        if (!settle(start)) return false;
        observer_.checkpoint_due(at);
        start = Clock::now();
      }
    }
    return settle(start);
  }

  bool stop_now() {
    while (backend_.busy() && !observer_.stop_asked())
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (observer_.stop_asked()) {
      result_.reason = StopReason::signal;
    } else if (limits_.max_seconds && seconds_since(begun_) >= *limits_.max_seconds) {
      result_.reason = StopReason::time_limit;
    } else {
      return false;
    }
    return true;
  }

  // Waits for the device and looks whether a loss was not finite: from that step on nothing was updated.
  bool settle(Clock::time_point start) {
    backend_.wait();
    result_.position.pass_seconds += seconds_since(start);
    const StepState state = network_.read_training_state();
    if (state.first_bad_step == kNoBadStep) return true;
    result_.reason = StopReason::bad_loss;
    result_.bad_step = state.first_bad_step;
    result_.position.step = state.first_bad_step;
    return false;
  }

  // Evaluates, reports, saves; false when the run is to end.
  bool close_pass() {
    LoopPosition& at = result_.position;
    EpochRecord record;
    const Clock::time_point start = Clock::now();
    const std::optional<Score> test = score(data_.test_input(setup_.test));
    if (setup_.validates() && test) record.validation = score(data_.train_input(setup_.validation));
    if (!test || (setup_.validates() && !record.validation)) {
      result_.reason = StopReason::signal;
      return false;
    }
    if (!std::isfinite(test->loss) || (record.validation && !std::isfinite(record.validation->loss))) {
      result_.reason =
          StopReason::bad_loss;  // the last update spoilt the weights before a training loss could tell
      result_.bad_step = at.step - 1;
      return false;
    }
    record.test = *test;
    record.evaluation_seconds = seconds_since(start);
    record.pass = ++at.passes;
    record.step = at.step;
    record.seconds = std::exchange(at.pass_seconds, 0);
    record.learning_rate =
        learning_rate(setup_.rule.schedule, at.step - 1, pass_of(setup_.train, at.step - 1));
    take_training_sums(record);
    observer_.epoch_done(record);
    return go_on(record.validation ? record.validation->accuracy : record.test.accuracy);
  }

  std::optional<Score> score(const StepInput& input) {
    return evaluate(network_, backend_, input, [this] { return observer_.stop_asked(); });
  }

  // Moves the sums since the last evaluation from the device into the record.
  void take_training_sums(EpochRecord& record) {
    StepState state = network_.read_training_state();
    const auto images = static_cast<double>(state.images);
    record.images = state.images;
    record.train_loss = state.loss_sum / images;
    record.train_accuracy = static_cast<double>(state.hits) / images;
    state.loss_sum = 0;
    state.hits = state.images = 0;
    network_.write_training_state(state);
  }

  bool go_on(double accuracy) {
    const LoopPosition& at = result_.position;
    if (limits_.target_accuracy && accuracy >= *limits_.target_accuracy) {
      result_.reason = StopReason::target;
      return false;
    }
    const bool due = limits_.checkpoint_steps > 0
                         ? at.step % limits_.checkpoint_steps == 0
                         : limits_.checkpoint_passes > 0 && at.passes % limits_.checkpoint_passes == 0;
    if (due && at.step < setup_.total_steps) observer_.checkpoint_due(at);
    return true;
  }

  const Setup& setup_;
  Network& network_;
  Backend& backend_;
  const ResidentData& data_;
  LoopLimits limits_;
  LoopObserver& observer_;
  std::unique_ptr<Recording> step_;
  Clock::time_point begun_ = Clock::now();
  LoopResult result_;
};

}  // namespace

ResidentData::ResidentData(Backend& backend, const Setup& setup)
    : scaling_(setup.scaling),
      train_images_(hold(backend, setup.dataset.train.images, "the training images")),
      train_labels_(hold(backend, setup.dataset.train.labels, "the training labels")),
      test_images_(hold(backend, setup.dataset.test.images, "the test images")),
      test_labels_(hold(backend, setup.dataset.test.labels, "the test labels")) {}

StepInput ResidentData::train_input(const Batching& batching) const {
  return {train_images_.as<std::uint8_t>(), train_labels_.as<std::uint8_t>(), batching, scaling_};
}

StepInput ResidentData::test_input(const Batching& batching) const {
  return {test_images_.as<std::uint8_t>(), test_labels_.as<std::uint8_t>(), batching, scaling_};
}

double Score::standard_error() const {
  return images > 0 ? std::sqrt(accuracy * (1 - accuracy) / static_cast<double>(images)) : 0;
}

std::optional<Score> evaluate(Network& network, Backend& backend, const StepInput& input,
                              const std::function<bool()>& stop_asked) {
  network.write_evaluation_state(StepState{});
  const std::unique_ptr<Recording> step = backend.record([&network, input] { network.evaluate_step(input); });
  const std::uint64_t steps = steps_per_pass(input.batching);
  for (std::uint64_t i = 0; i < steps; ++i) {
    if (stop_asked()) return std::nullopt;
    step->launch();
  }
  backend.wait();
  const StepState state = network.read_evaluation_state();
  const auto images = static_cast<double>(state.images);
  return Score{state.images, state.loss_sum / images, static_cast<double>(state.hits) / images};
}

LoopResult run_loop(const Setup& setup, Network& network, Backend& backend, const ResidentData& data,
                    const LoopLimits& limits, const LoopPosition& start, LoopObserver& observer) {
  return Loop(setup, network, backend, data, limits, observer).run(start);
}

}  // namespace trainer
