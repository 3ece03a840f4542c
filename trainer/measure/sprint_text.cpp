#include "trainer/measure/sprint_text.hpp"

#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/training_output.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

// Below a tenth of a second in milliseconds.
std::string time_text(double seconds) {
  return seconds < 0.1 ? fmt::format("{:.2f} ms", 1e3 * seconds) : fmt::format("{:.3f} s", seconds);
}

}  // namespace

const char* const kSprintTimed =
    "training + test: from the first step's launch to the accuracy on the host, data resident, program warm; "
    "cold: the same for the first seed; process: one seed in a process of its own, from exec to exit";

std::string seed_line(const SprintSeed& seed) {
  if (seed.bad_step)
    return fmt::format("seed {:<9}step {}: the loss is not finite", seed.seed, *seed.bad_step + 1);
  return fmt::format("seed {:<9}{}   {}", seed.seed, accuracy_text(seed.test), time_text(seed.seconds));
}

ordered_json seed_json(const Setup& setup, const SprintReport& report, std::size_t index) {
  const SprintSeed& seed = report.seeds[index];
  return {{"epoch", index + 1},
          {"seed", seed.seed},
          {"step", setup.total_steps},
          {"images", report.images},
          {"train_loss", seed.train_loss},
          {"train_accuracy", seed.train_accuracy},
          {"test_loss", seed.test.loss},
          {"test_accuracy", seed.test.accuracy},
          {"seconds", seed.seconds}};
}

std::string verdict_text(const SprintReport& report) {
  const SprintSummary s = summarize(report.seeds, report.images);
  const Verdict verdict = judge(s, report.target);
  std::string text = fmt::format("{:.2f} +- {:.2f} %: ", s.mean, s.standard_error);
  if (!verdict.reached) return text + fmt::format("{:g} % not reached", report.target);
  text += fmt::format("{:g} % reached", report.target);
  if (!verdict.beyond_doubt)
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
  return text + report_line("verdict", verdict_text(report));
}

ordered_json sprint_json(const SprintReport& report) {
  const SprintSummary s = summarize(report.seeds, report.images);
  const Verdict verdict = judge(s, report.target);
  ordered_json seeds = ordered_json::array();
  for (const SprintSeed& seed : report.seeds) {
    seeds.push_back(
        {{"seed", seed.seed}, {"accuracy_percent", 100 * seed.test.accuracy}, {"seconds", seed.seconds}});
  }
  ordered_json json{{"timed", kSprintTimed},
                    {"target_percent", report.target},
                    {"reached", verdict.reached},
                    {"reached_less_standard_error", verdict.beyond_doubt},
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
