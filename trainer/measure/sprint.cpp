#include "trainer/measure/sprint.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/system/clock.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/evaluation.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

using nlohmann::ordered_json;

const char* sprint_network(double target, bool on_gpu, int views) {
  if (target <= 99) return on_gpu ? "sprint" : views > 1 ? "sprint-lean-views" : "sprint-lean";
  return "sprint-995";
}

Sprint::Sprint(Setup& setup, Backend& backend)
    : setup_(setup),
      backend_(backend),
      network_(setup.plan, backend, Purpose::training, setup.rule.optimizers),
      data_(backend, setup) {
  std::vector<RepeatedStep> sequence{
      {[this, input = data_.train_input(setup.train)] { network_.train_step(input, setup_.rule); },
       setup.total_steps}};
  if (setup.spec.recipe.views == 1)
    sequence.push_back({[this, input = data_.test_input(setup.test)] { network_.evaluate_step(input); },
                        steps_per_epoch(setup.test)});
  recording_ = backend.record(std::move(sequence));
  if (setup.spec.recipe.views == 1) return;
  logits_.emplace(network_, backend, data_.test_input(setup.test));
  shifted_logits_.emplace(network_, backend, shifted_images(setup.test.images), setup.scaling,
                          setup.spec.recipe.input.augmentation);
}

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
  recording_->launch(1);
  const Network::States states = network_.read_states();
  const Score test = logits_ ? test_with_views() : score_of(states.evaluation);
  const double seconds = seconds_since(start);

  const Score trained = score_of(states.training);
  SprintSeed result{setup_.settings.seed, test, trained.loss, trained.accuracy, seconds, "", std::nullopt};
  if (states.training.first_bad_step != kNoBadStep) result.bad_step = states.training.first_bad_step;
  return result;
}

Score Sprint::test_with_views() {
  const data::Split& test = setup_.dataset.test;
  const auto logits_of_shifted = [&](std::span<const std::uint8_t> images) {
    return shifted_logits_->run(images);
  };
  return score_of(with_views(logits_->run(), test.images, setup_.plan.input.image, logits_of_shifted),
                  test.labels);
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

namespace {

constexpr const char* kTimed =
    "training + test: from the first step's launch to the accuracy on the host, data resident, program warm; "
    "cold: the same for the first seed; process: one seed in a process of its own, from exec to exit";

// The time is in milliseconds below a tenth of a second.
std::string time_text(double seconds) {
  return seconds < 0.1 ? fmt::format("{:.2f} ms", 1e3 * seconds) : fmt::format("{:.3f} s", seconds);
}

bool is_reached(const SprintSummary& summary, double target) {
  return summary.mean >= target;
}

bool is_beyond_doubt(const SprintSummary& summary, double target) {
  return summary.mean - summary.standard_error >= target;
}

}  // namespace

std::string seed_line(const SprintSeed& seed) {
  if (seed.bad_step)
    return fmt::format("seed {:<9}step {}: the loss is not finite", seed.seed, *seed.bad_step + 1);
  return fmt::format("seed {:<9}{}   {}", seed.seed, accuracy_text(seed.test), time_text(seed.seconds)) +
         (seed.digest[0] == 0 ? "" : fmt::format("   digest {}", seed.digest));
}

ordered_json seed_json(const Setup& setup, const SprintReport& report, std::size_t index) {
  const SprintSeed& seed = report.seeds[index];
  ordered_json json{{"epoch", index + 1},
                    {"seed", seed.seed},
                    {"step", setup.total_steps},
                    {"images", report.images},
                    {"train_loss", seed.train_loss},
                    {"train_accuracy", seed.train_accuracy},
                    {"test_loss", seed.test.loss},
                    {"test_accuracy", seed.test.accuracy},
                    {"seconds", seed.seconds}};
  if (seed.digest[0] != 0) json["digest"] = seed.digest;
  return json;
}

std::string verdict_text(const SprintReport& report) {
  const SprintSummary s = summarize(report.seeds, report.images);
  std::string text = fmt::format("{:.2f} +- {:.2f} %: ", s.mean, s.standard_error);
  if (!is_reached(s, report.target)) return text + fmt::format("{:g} % not reached", report.target);
  text += fmt::format("{:g} % reached", report.target);
  if (!is_beyond_doubt(s, report.target))
    text +=
        fmt::format(", but the mean less its standard error is below: {:.3f} %", s.mean - s.standard_error);
  return text;
}

std::string sprint_text(const SprintReport& report) {
  const SprintSummary s = summarize(report.seeds, report.images);
  const std::size_t count = report.seeds.size();
  std::string text = report_line(
      "accuracy",
      count == 1 ? fmt::format("{:.2f} +- {:.2f} % (one seed; +-: standard error of so many images)", s.mean,
                               s.standard_error)
                 : fmt::format("mean {:.3f} +- {:.3f} % (standard error over {} seeds), {:.2f} to {:.2f}",
                               s.mean, s.standard_error, count, s.least, s.most));
  text +=
      report_line("train + test", fmt::format("median {}, {} to {}; {} images/s", time_text(s.seconds.median),
                                              time_text(s.seconds.least), time_text(s.seconds.most),
                                              grouped(static_cast<std::uint64_t>(s.images_per_second))));
  text += report_line("cold", time_text(s.cold) + ", the first seed");
  if (report.process_seconds)
    text += report_line("process", time_text(*report.process_seconds) + " for one seed, from exec to exit");
  text += report_line("timed", "from the first step's launch to the accuracy on the host; data resident");
  if (report.views > 1) text += report_line("views", kViewsText);
  return text + report_line("verdict", verdict_text(report));
}

ordered_json sprint_json(const SprintReport& report) {
  const SprintSummary s = summarize(report.seeds, report.images);
  ordered_json seeds = ordered_json::array();
  for (const SprintSeed& seed : report.seeds) {
    seeds.push_back(
        {{"seed", seed.seed}, {"accuracy_percent", 100 * seed.test.accuracy}, {"seconds", seed.seconds}});
    if (seed.digest[0] != 0) seeds.back()["digest"] = seed.digest;
  }
  ordered_json json{{"timed", kTimed},
                    {"target_percent", report.target},
                    {"views", report.views},
                    {"reached", is_reached(s, report.target)},
                    {"reached_less_standard_error", is_beyond_doubt(s, report.target)},
                    {"accuracy_percent",
                     {{"mean", s.mean},
                      {"standard_error", s.standard_error},
                      {"deviation", s.deviation},
                      {"min", s.least},
                      {"max", s.most}}},
                    {"train_and_test_seconds",
                     {{"median", s.seconds.median}, {"min", s.seconds.least}, {"max", s.seconds.most}}},
                    {"cold_seconds", s.cold},
                    {"images_per_second", s.images_per_second},
                    {"images", report.images},
                    {"seeds", seeds}};
  if (report.process_seconds) json["process_seconds"] = *report.process_seconds;
  return json;
}

}  // namespace trainer
