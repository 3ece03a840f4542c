#include "trainer/runs/run_comparison.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <span>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/statistics.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

// The interval of a ratio: ranks of the Mann-Whitney statistic, exact or from its normal approximation.

constexpr double kTail = (1 - kIntervalLevel) / 2;
constexpr double kNormalQuantile = 1.959963984540054;  // of 1 - kTail
constexpr std::size_t kMostExact = 50;
constexpr std::size_t kMostMeasurements = 1000;

// For each u from 0 to m n, the number of orders of m and n values in which U = u. These are the coefficients of the Gaussian
// binomial
//   (1 - q^(n+1)) ... (1 - q^(n+m)) / ((1 - q) ... (1 - q^m)).
// Doubles hold these counts, which have up to 47 bits.
std::vector<double> orders_of(std::size_t m, std::size_t n) {
  std::vector<double> counts(m * n + 1, 0.0);
  counts[0] = 1;
  for (std::size_t i = 1; i <= m; ++i) {
    for (std::size_t u = m * n; u >= n + i; --u) counts[u] -= counts[u - n - i];
    for (std::size_t u = i; u <= m * n; ++u) counts[u] += counts[u - i];
  }
  return counts;
}

std::size_t exact_rank(std::size_t m, std::size_t n) {
  const std::vector<double> orders = orders_of(m, n);
  double all = 0;
  for (const double count : orders) all += count;
  std::size_t rank = 0;
  double below = 0;
  while (rank < orders.size() && below + orders[rank] <= kTail * all) below += orders[rank++];
  return rank;
}

std::size_t normal_rank(std::size_t m, std::size_t n) {
  const auto a = static_cast<double>(m);
  const auto b = static_cast<double>(n);
  const double rank = std::floor(a * b / 2 - kNormalQuantile * std::sqrt(a * b * (a + b + 1) / 12));
  return rank > 0 ? static_cast<std::size_t>(rank) : 0;
}

std::span<const double> last_of(const std::vector<double>& values) {
  return std::span(values).last(std::min(values.size(), kMostMeasurements));
}

std::optional<double> best_accuracy(const KnownRun& run) {
  std::optional<double> best = run.accuracy();
  if (!run.sprint)
    for (const EpochRecord& epoch : run.epochs) best = std::max(best, std::optional(epoch.test.accuracy));
  return best;
}

ordered_json reached_json(const KnownRun& run, double accuracy) {
  if (run.sprint) {
    if (run.sprint->mean < accuracy) return nullptr;
    return {{"epoch", 0}, {"seconds", run.sprint->seconds}};
  }
  double seconds = 0;
  for (std::size_t i = 0; i < run.epochs.size(); ++i) {
    const EpochRecord& epoch = run.epochs[i];
    if (epoch.epoch != i + 1) return nullptr;  // those in between were not copied
    seconds += epoch.seconds + epoch.evaluation_seconds;
    if (epoch.test.accuracy >= accuracy) return {{"epoch", epoch.epoch}, {"seconds", seconds}};
  }
  return nullptr;
}

ordered_json spread_json(const std::vector<double>& seconds) {
  if (seconds.empty()) return {{"median", nullptr}, {"min", nullptr}, {"max", nullptr}};
  const Spread spread = spread_of(seconds);
  return {{"median", spread.median}, {"min", spread.least}, {"max", spread.most}};
}

// It compares seconds per image, since epochs may have different sizes.
ordered_json speed_json(const KnownRun& first, const KnownRun& run) {
  const auto seconds_of_images = [](const KnownRun& run) {
    std::vector<double> seconds = epoch_times(run).timed;
    for (double& epoch : seconds) epoch /= static_cast<double>(run.record.data.train_images);
    return seconds;
  };
  const std::vector<double> above = seconds_of_images(first), below = seconds_of_images(run);
  if (above.empty() || below.empty()) return nullptr;
  const RatioEstimate speed = estimate_ratio(above, below);
  return {{"ratio", speed.ratio},
          {"level", kIntervalLevel},
          {"low", json_of(speed.low)},
          {"high", json_of(speed.high)},
          {"method", "Hodges-Lehmann estimate, Mann-Whitney interval, of ratios of epochs"}};
}

ordered_json cost_json(std::optional<double> seconds, std::optional<double> price_per_hour) {
  if (!seconds || !price_per_hour) return nullptr;
  return *seconds / 3600 * *price_per_hour;
}

std::string interval_text(const ordered_json& first, const ordered_json& run) {
  if (&run == &first) return "-";
  if (const auto low = find_number(run, {"speed", "low"}))
    return fmt::format("{:#.4g} to {:#.4g}", *low, run["speed"]["high"].get<double>());
  return fmt::format("n/a: of {} and {} epochs", first["timed_epochs"].size(), run["timed_epochs"].size());
}

std::string times_text(const ordered_json& compared) {
  TextTable table({{"run"},
                   {">epochs"},
                   {">first"},
                   {">median"},
                   {">min - max"},
                   {">images/s"},
                   {">speed"},
                   {"95 % interval"}});
  bool lacks_interval = false;
  for (std::size_t i = 0; i < compared.size(); ++i) {
    const ordered_json& run = compared[i];
    const auto text = [&](JsonPath path, const char* format) {
      return text_of(find_number(run, path), format);
    };
    const auto rate = find_number(run, {"images_per_second"});
    table.add({letter_of(i), fmt::format("{}", run["timed_epochs"].size()),
               text({"warm_up_seconds"}, "{:#.4g} s"), text({"epoch_seconds", "median"}, "{:#.4g} s"),
               rate ? text({"epoch_seconds", "min"}, "{:#.4g} - ") + text({"epoch_seconds", "max"}, "{:#.4g}")
                    : kUnknown,
               rate ? count_text(*rate) : kUnknown, text({"speed", "ratio"}, "{:.3g}x"),
               interval_text(compared[0], run)});
    lacks_interval = lacks_interval || (i > 0 && !find_number(run, {"speed", "low"}));
  }
  return table.text(kWideGap) +
         "epochs: whole ones; the first of a run, or after a resumption, warms up and stands apart\n"
         "speed: images a second, as a multiple of A's: the median of all ratios of two epochs\n"
         "(Hodges-Lehmann) and its interval (exact Mann-Whitney): of these epochs, not of other days\n" +
         (lacks_interval ? "n/a: too few epochs for a 95 % interval; 4 of each give one\n" : "");
}

std::string reached_text(const KnownRun& run, const ordered_json& compared, double accuracy) {
  if (const auto seconds = find_number(compared, {"reached", "seconds"})) {
    if (run.sprint)
      return fmt::format("{:.3f} s, {} seeds{}", *seconds, run.evaluations(),
                         run.sprint->views > 1 ? ", views" : "");
    return fmt::format("{:.2f} s, epoch {}", *seconds, compared["reached"]["epoch"].get<std::uint64_t>());
  }
  const auto best = find_number(compared, {"best_accuracy"});
  if (best && (*best >= accuracy || run.epochs.size() < run.evaluations()))
    return fmt::format("n/a: {} of {} epochs", run.epochs.size(), run.evaluations());
  return best ? fmt::format("not reached: {:.2f} %", 100 * *best) : "n/a: no evaluation";
}

std::string results_text(const std::vector<KnownRun>& runs, const ordered_json& compared,
                         const ComparisonOptions& options) {
  const bool priced = !options.prices.empty();
  const auto any_has = [&](const char* key) {
    return std::ranges::any_of(compared, [key](const ordered_json& run) { return !run[key].is_null(); });
  };
  const bool with_energy = any_has("energy_joules"), with_exchange = any_has("exchange_seconds");
  const std::string goal = fmt::format("{:.6g} %", 100 * options.accuracy);
  std::vector<TableColumn> columns{{"run"}, {">accuracy"}, {">to " + goal}, {">whole run"}};
  if (with_exchange) columns.push_back({">exchange"});
  if (with_energy) columns.push_back({">energy"});
  if (priced) columns.insert(columns.end(), {{">price"}, {">cost"}, {">cost to " + goal}});
  TextTable table(columns);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto accuracy = runs[i].accuracy();
    std::vector<std::string> cells{
        letter_of(i), accuracy ? fmt::format("{:.2f} %", 100 * *accuracy) : kUnknown,
        reached_text(runs[i], compared[i], options.accuracy), fmt::format("{:.2f} s", runs[i].seconds())};
    if (with_exchange) cells.push_back(text_of(find_number(compared[i], {"exchange_seconds"}), "{:.2f} s"));
    if (with_energy) cells.push_back(text_of(find_number(compared[i], {"energy_joules"}), "{:.1f} J"));
    if (priced)
      for (const char* amount : {"price_per_hour", "cost", "cost_to_accuracy"})
        cells.push_back(text_of(find_number(compared[i], {amount}), "{:.4g}"));
    table.add(std::move(cells));
  }
  std::string text =
      table.text(kWideGap) + "to " + goal + ": training and tests until the first test that reached it\n";
  if (std::ranges::any_of(runs, [](const KnownRun& run) { return run.sprint.has_value(); }))
    text += "seeds: a sprint; its epochs are trainings from scratch: mean accuracy, median time\n";
  if (with_exchange) text += "exchange: of the training's time, for the gradients of other ranks\n";
  if (!with_energy) text += "energy: n/a: none of the runs recorded it\n";
  if (priced) text += "price: of an hour; cost: of the whole run, in the price's currency\n";
  return text;
}

}  // namespace

std::size_t interval_rank(std::size_t m, std::size_t n) {
  return m + n <= kMostExact ? exact_rank(m, n) : normal_rank(m, n);
}

// The two middle ratios are averaged as logarithms, so that the inverse ratio has the inverse estimate.
RatioEstimate estimate_ratio(const std::vector<double>& numerators, const std::vector<double>& denominators) {
  std::vector<double> ratios;
  for (const double x : last_of(numerators))
    for (const double y : last_of(denominators)) ratios.push_back(x / y);
  std::ranges::sort(ratios);
  const std::size_t middle = ratios.size() / 2;
  RatioEstimate estimate;
  estimate.ratio = ratios.size() % 2 == 1 ? ratios[middle] : std::sqrt(ratios[middle - 1] * ratios[middle]);
  const std::size_t rank = interval_rank(last_of(numerators).size(), last_of(denominators).size());
  if (rank > 0) {
    estimate.low = ratios[rank - 1];
    estimate.high = ratios[ratios.size() - rank];
  }
  return estimate;
}

ordered_json compare_runs(const std::vector<KnownRun>& runs, const ComparisonOptions& options) {
  const std::vector<double>& prices = options.prices;
  if (prices.size() > 1 && prices.size() != runs.size())
    throw UsageError(fmt::format("--price: {} prices for {} runs; give one for all, or one a run: 2.5,4",
                                 prices.size(), runs.size()));
  ordered_json rows = ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const KnownRun& run = runs[i];
    const EpochTimes times = epoch_times(run);
    const ordered_json seconds = spread_json(times.timed), reached = reached_json(run, options.accuracy);
    const auto median = find_number(seconds, {"median"});
    const auto price = prices.empty() ? std::nullopt : std::optional(prices[std::min(i, prices.size() - 1)]);
    const double whole = run.seconds();
    rows.push_back(
        {{"id", run.id},
         {"folder", run.folder.string()},
         {"status", run.status()},
         {"timed_epochs", times.timed},
         {"warm_up_seconds", json_of(times.warm_up)},
         {"epoch_seconds", seconds},
         {"images_per_second",
          median ? ordered_json(static_cast<double>(run.record.data.train_images) / *median) : nullptr},
         {"speed", speed_json(runs[0], run)},
         {"best_accuracy", json_of(best_accuracy(run))},
         {"reached", reached},
         {"seconds", whole},
         {"ranks", find_count(run.record.results, {"ranks", "count"}).value_or(1)},
         {"machines", find_count(run.record.results, {"ranks", "machines"}).value_or(1)},
         {"exchange_seconds", json_of(find_number(run.record.results, {"ranks", "exchange_seconds"}))},
         {"energy_joules", json_of(find_number(run.record.results, {"energy_joules"}))},
         {"price_per_hour", json_of(price)},
         {"cost", cost_json(whole > 0 ? std::optional(whole) : std::nullopt, price)},
         {"cost_to_accuracy", cost_json(find_number(reached, {"seconds"}), price)}});
  }
  return rows;
}

std::string comparison_legend(const std::vector<KnownRun>& runs) {
  std::string text;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const KnownRun& run = runs[i];
    const std::string device = find_text(run.record.device, {"name"}).value_or("unknown device");
    text += printable(fmt::format("{}  {}  {}, {}, {}, {}", letter_of(i), run.id, run.record.model,
                                  run.precision(), short_device(device), run.status())) +
            "\n";
  }
  const std::string note = disagreement_note(runs);
  return note.empty() ? text : text + note + "\n";
}

std::string comparison_text(const std::vector<KnownRun>& runs, const ordered_json& compared,
                            const ComparisonOptions& options) {
  return times_text(compared) + "\n" + results_text(runs, compared, options);
}

}  // namespace trainer
