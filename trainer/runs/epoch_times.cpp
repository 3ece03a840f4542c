#include "trainer/runs/epoch_times.hpp"

#include <algorithm>

#include "trainer/console/json_lookup.hpp"
#include "trainer/system/statistics.hpp"

namespace trainer {

namespace {

// Images of an epoch that was not cut short: a recipe that counts steps may show fewer than a pass.
std::uint64_t whole_images(const KnownRun& run) {
  std::uint64_t most = 0;
  for (const EpochRecord& epoch : run.epochs) most = std::max(most, epoch.images);
  return most;
}

// Whether the run was started or went on between the evaluation before `epoch` and its own.
bool is_warm_up(const KnownRun& run, std::size_t epoch) {
  if (epoch == 0) return true;
  return std::ranges::any_of(run.record.resumed, [&](const RunRecord::Resumption& part) {
    return part.step >= run.epochs[epoch - 1].step && part.step < run.epochs[epoch].step;
  });
}

}  // namespace

EpochTimes epoch_times(const KnownRun& run) {
  EpochTimes times;
  const std::uint64_t whole = whole_images(run);
  for (std::size_t i = 0; i < run.epochs.size(); ++i) {
    if (run.epochs[i].images != whole || !(run.epochs[i].seconds > 0)) continue;
    if (!is_warm_up(run, i)) times.timed.push_back(run.epochs[i].seconds);
    if (i == 0) times.warm_up = run.epochs[i].seconds;
  }
  return times;
}

std::optional<double> epoch_seconds(const KnownRun& run) {
  if (const auto recorded = find_number(run.record.results, {"epoch_seconds", "median"})) return recorded;
  std::vector<double> seconds;
  for (const EpochRecord& epoch : run.epochs) seconds.push_back(epoch.seconds);
  return seconds.empty() ? std::nullopt : std::optional(median(std::move(seconds)));
}

std::optional<double> images_per_second(const KnownRun& run) {
  std::vector<double> rates;
  for (const EpochRecord& epoch : run.epochs)
    if (epoch.seconds > 0) rates.push_back(epoch.images_per_second());
  return rates.empty() ? std::nullopt : std::optional(median(std::move(rates)));
}

std::optional<AccuracyReached> time_to_accuracy(const KnownRun& run, double accuracy) {
  if (run.sprint) {
    if (run.sprint->mean < accuracy) return std::nullopt;
    return AccuracyReached{.seeds = static_cast<int>(run.epochs.size()), .seconds = run.sprint->seconds};
  }
  double seconds = 0;
  for (const EpochRecord& epoch : run.epochs) {
    seconds += epoch.seconds + epoch.evaluation_seconds;
    if (epoch.test.accuracy >= accuracy)
      return AccuracyReached{.epoch = static_cast<int>(epoch.epoch), .seconds = seconds};
  }
  return std::nullopt;
}

std::optional<double> best_accuracy(const KnownRun& run) {
  if (run.epochs.empty() || run.sprint) return run.accuracy();
  const auto accuracy = [](const EpochRecord& epoch) { return epoch.test.accuracy; };
  return accuracy(*std::ranges::max_element(run.epochs, {}, accuracy));
}

}  // namespace trainer
