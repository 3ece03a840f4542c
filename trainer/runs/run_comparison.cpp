#include "trainer/runs/run_comparison.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "trainer/console/json_lookup.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

constexpr double kSecondsOfAnHour = 3600;

// Seconds of an image: epochs of different sizes compare.
std::vector<double> seconds_of_images(const KnownRun& run, const EpochTimes& times) {
  std::vector<double> seconds;
  for (const double epoch : times.timed)
    seconds.push_back(epoch / static_cast<double>(run.record.data.train_images));
  return seconds;
}

void add_times(ComparedRun& compared, const KnownRun& run) {
  compared.times = epoch_times(run);
  const std::vector<double>& timed = compared.times.timed;
  if (timed.empty()) return;
  compared.seconds = spread_of(timed);
  compared.images_per_second = static_cast<double>(run.record.data.train_images) / compared.seconds->median;
}

void add_cost(ComparedRun& compared, const KnownRun& run, double price) {
  compared.price = price;
  if (run.seconds() > 0) compared.cost = run.seconds() / kSecondsOfAnHour * price;
  if (compared.reached) compared.cost_to_accuracy = compared.reached->seconds / kSecondsOfAnHour * price;
}

void check_prices(std::size_t prices, std::size_t runs) {
  if (prices <= 1 || prices == runs) return;
  throw UsageError(
      fmt::format("--price: {} prices for {} runs; give one for all, or one a run: 2.5,4", prices, runs));
}

}  // namespace

std::vector<ComparedRun> compare_runs(const std::vector<KnownRun>& runs, const ComparisonOptions& options) {
  check_prices(options.prices.size(), runs.size());
  std::vector<ComparedRun> all;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    ComparedRun& compared = all.emplace_back();
    compared.letter = letter_of(i);
    add_times(compared, runs[i]);
    if (compared.seconds && all.front().seconds)
      compared.speed = estimate_ratio(seconds_of_images(runs[0], all.front().times),
                                      seconds_of_images(runs[i], compared.times));
    compared.reached = time_to_accuracy(runs[i], options.accuracy);
    compared.energy_joules = find_number(runs[i].record.results, {"energy_joules"});
    if (!options.prices.empty())
      add_cost(compared, runs[i], options.prices[std::min(i, options.prices.size() - 1)]);
  }
  return all;
}

}  // namespace trainer
