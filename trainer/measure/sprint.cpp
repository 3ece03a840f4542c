#include "trainer/measure/sprint.hpp"

#include <algorithm>
#include <cmath>

#include "trainer/system/clock.hpp"
#include "trainer/train/loop.hpp"

namespace trainer {

Sprint::Sprint(Setup& setup, Backend& backend)
    : setup_(setup),
      backend_(backend),
      network_(setup.plan, backend, Purpose::training, setup.rule.optimizers),
      data_(backend, setup),
      training_and_test_(backend.record({
          {[this, input = data_.train_input(setup.train)] { network_.train_step(input, setup_.rule); },
           setup.total_steps},
          {[this, input = data_.test_input(setup.test)] { network_.evaluate_step(input); },
           steps_per_pass(setup.test)},
      })) {}

std::uint64_t Sprint::images() const {
  return images_before(setup_.train, setup_.total_steps);
}

void Sprint::start_anew(std::uint64_t seed) {
  setup_.settings.seed = seed;
  network_.initialize(seed);
  StepState state;
  state.seed = seed;
  network_.write_training_state(state);
  network_.write_evaluation_state(StepState{});
  backend_.wait();
}

SprintSeed Sprint::run() {
  const Clock::time_point start = Clock::now();
  training_and_test_->launch(1);
  const Network::States states = network_.read_states();
  const double seconds = seconds_since(start);

  SprintSeed result;
  result.seed = setup_.settings.seed;
  result.seconds = seconds;
  const auto fraction = [](double sum, std::uint64_t images) { return sum / static_cast<double>(images); };
  const StepState& test = states.evaluation;
  result.test = {test.images, fraction(test.loss_sum, test.images),
                 fraction(static_cast<double>(test.correct), test.images)};
  const StepState& trained = states.training;
  result.train_loss = fraction(trained.loss_sum, trained.images);
  result.train_accuracy = fraction(static_cast<double>(trained.correct), trained.images);
  if (trained.first_bad_step != kNoBadStep) result.bad_step = trained.first_bad_step;
  return result;
}

SprintSummary summarize(const std::vector<SprintSeed>& seeds, std::uint64_t images) {
  SprintSummary s;
  const auto count = static_cast<double>(seeds.size());
  s.least = 100;
  std::vector<double> seconds;
  for (const SprintSeed& seed : seeds) {
    const double accuracy = 100 * seed.test.accuracy;
    s.mean += accuracy / count;
    s.least = std::min(s.least, accuracy);
    s.most = std::max(s.most, accuracy);
    seconds.push_back(seed.seconds);
  }
  for (const SprintSeed& seed : seeds) {
    const double off = 100 * seed.test.accuracy - s.mean;
    s.deviation += off * off;
  }
  s.deviation = seeds.size() > 1 ? std::sqrt(s.deviation / (count - 1)) : 0;
  s.standard_error =
      seeds.size() > 1 ? s.deviation / std::sqrt(count) : 100 * seeds.front().test.standard_error();
  s.cold = seconds.front();
  if (seconds.size() > 1) seconds.erase(seconds.begin());
  s.seconds = spread_of(seconds);
  s.images_per_second = static_cast<double>(images + seeds.front().test.images) / s.seconds.median;
  return s;
}

Verdict judge(const SprintSummary& summary, double target) {
  return {summary.mean >= target, summary.mean - summary.standard_error >= target};
}

}  // namespace trainer
