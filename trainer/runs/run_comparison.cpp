#include "trainer/runs/run_comparison.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/runs/run_list.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

using nlohmann::ordered_json;

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

std::string speed_text(const ComparedRun& run) {
  return run.speed ? fmt::format("{:.3g}x", run.speed->ratio) : "n/a";
}

std::string interval_text(const ComparedRun& run, const ComparedRun& first) {
  if (&run == &first) return "-";
  if (run.speed && run.speed->interval)
    return fmt::format("{:#.4g} to {:#.4g}", run.speed->interval->low, run.speed->interval->high);
  return fmt::format("n/a: of {} and {} epochs", first.times.timed.size(), run.times.timed.size());
}

bool lacks_interval(const std::vector<ComparedRun>& compared) {
  return std::any_of(compared.begin() + 1, compared.end(),
                     [](const ComparedRun& run) { return !run.speed || !run.speed->interval; });
}

std::string times_text(const std::vector<ComparedRun>& compared) {
  TextTable table({{"run"},
                   {"epochs", TableColumn::Align::right},
                   {"first", TableColumn::Align::right},
                   {"median", TableColumn::Align::right},
                   {"min - max", TableColumn::Align::right},
                   {"images/s", TableColumn::Align::right},
                   {"speed", TableColumn::Align::right},
                   {"95 % interval"}});
  for (const ComparedRun& run : compared) {
    table.add(
        {run.letter, fmt::format("{}", run.times.timed.size()), text_of(run.times.warm_up, "{:#.4g} s"),
         run.seconds ? fmt::format("{:#.4g} s", run.seconds->median) : kUnknown,
         run.seconds ? fmt::format("{:#.4g} - {:#.4g}", run.seconds->least, run.seconds->most) : kUnknown,
         run.images_per_second ? count_text(*run.images_per_second) : "n/a", speed_text(run),
         interval_text(run, compared.front())});
  }
  std::string text =
      table.text(kWideGap) +
      "epochs: whole ones; the first of a run, or after a resumption, warms up and stands apart\n"
      "speed: images a second, as a multiple of A's: the median of all ratios of two epochs\n"
      "(Hodges-Lehmann) and its interval (exact Mann-Whitney): of these epochs, not of other days\n";
  if (lacks_interval(compared)) text += "n/a: too few epochs for a 95 % interval; 4 of each give one\n";
  return text;
}

std::string reached_text(const KnownRun& run, const ComparedRun& compared) {
  if (const auto& reached = compared.reached) {
    if (reached->seeds > 0) return fmt::format("{:.3f} s, {} seeds", reached->seconds, reached->seeds);
    return fmt::format("{:.2f} s, epoch {}", reached->seconds, reached->epoch);
  }
  const std::optional<double> best = best_accuracy(run);
  return best ? fmt::format("not reached: {:.2f} %", 100 * *best) : "n/a: no evaluation";
}

std::string results_text(const std::vector<KnownRun>& runs, const std::vector<ComparedRun>& compared,
                         const ComparisonOptions& options) {
  const bool priced = !options.prices.empty();
  const bool with_energy =
      std::ranges::any_of(compared, [](const ComparedRun& run) { return run.energy_joules.has_value(); });
  const std::string goal = fmt::format("{:.6g} %", 100 * options.accuracy);
  std::vector<TableColumn> columns{{"run"},
                                   {"accuracy", TableColumn::Align::right},
                                   {"to " + goal, TableColumn::Align::right},
                                   {"whole run", TableColumn::Align::right}};
  if (with_energy) columns.push_back({"energy", TableColumn::Align::right});
  if (priced) {
    for (const std::string& title : {std::string("price"), std::string("cost"), "cost to " + goal})
      columns.push_back({title, TableColumn::Align::right});
  }
  TextTable table(std::move(columns));
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const KnownRun& run = runs[i];
    const ComparedRun& c = compared[i];
    std::vector<std::string> cells{c.letter,
                                   run.accuracy() ? fmt::format("{:.2f} %", 100 * *run.accuracy()) : "n/a",
                                   reached_text(run, c), fmt::format("{:.2f} s", run.seconds())};
    if (with_energy) cells.push_back(text_of(c.energy_joules, "{:.1f} J"));
    if (priced) {
      for (const auto& amount : {c.price, c.cost, c.cost_to_accuracy})
        cells.push_back(text_of(amount, "{:.4g}"));
    }
    table.add(std::move(cells));
  }
  std::string text =
      table.text(kWideGap) + "to " + goal + ": training and tests until the first test that reached it\n";
  if (std::ranges::any_of(runs, [](const KnownRun& run) { return run.sprint.has_value(); }))
    text += "seeds: a sprint; its epochs are trainings from scratch: mean accuracy, median time\n";
  if (!with_energy) text += "energy: n/a: none of the runs recorded it\n";
  if (priced) text += "price: of an hour; cost: of the whole run, in the price's currency\n";
  return text;
}

ordered_json speed_json(const ComparedRun& run) {
  if (!run.speed) return nullptr;
  ordered_json json{{"ratio", run.speed->ratio}, {"level", kIntervalLevel}};
  const std::optional<RatioInterval>& interval = run.speed->interval;
  json["low"] = interval ? ordered_json(interval->low) : ordered_json(nullptr);
  json["high"] = interval ? ordered_json(interval->high) : ordered_json(nullptr);
  json["method"] = "Hodges-Lehmann estimate, Mann-Whitney interval, of ratios of epochs";
  return json;
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

std::string comparison_legend(const std::vector<KnownRun>& runs) {
  std::string text;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& record = runs[i].record;
    text += printable(fmt::format("{}  {}  {}, {}, {}, {}", letter_of(i), runs[i].id, record.model,
                                  find_text(record.recipe, {"settings", "precision"}).value_or("fp32"),
                                  short_device(find_text(record.device, {"name"}).value_or("unknown device")),
                                  status_word(runs[i])));
    text += '\n';
  }
  return text;
}

std::string comparison_text(const std::vector<KnownRun>& runs, const std::vector<ComparedRun>& compared,
                            const ComparisonOptions& options) {
  return times_text(compared) + "\n" + results_text(runs, compared, options);
}

ordered_json comparison_json(const std::vector<KnownRun>& runs, const std::vector<ComparedRun>& compared) {
  ordered_json json = ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const ComparedRun& c = compared[i];
    ordered_json row{
        {"id", runs[i].id}, {"folder", runs[i].folder.string()}, {"status", status_word(runs[i])}};
    row["timed_epochs"] = c.times.timed;
    row["warm_up_seconds"] = json_of(c.times.warm_up);
    const auto seconds = [&c](double Spread::*part) {
      return c.seconds ? ordered_json((*c.seconds).*part) : nullptr;
    };
    row["epoch_seconds"] = {{"median", seconds(&Spread::median)},
                            {"min", seconds(&Spread::least)},
                            {"max", seconds(&Spread::most)}};
    row["images_per_second"] = json_of(c.images_per_second);
    row["speed"] = speed_json(c);
    row["best_accuracy"] = json_of(best_accuracy(runs[i]));
    row["reached"] = c.reached ? ordered_json{{"epoch", c.reached->epoch}, {"seconds", c.reached->seconds}}
                               : ordered_json(nullptr);
    row["seconds"] = runs[i].seconds();
    row["energy_joules"] = json_of(c.energy_joules);
    row["price_per_hour"] = json_of(c.price);
    row["cost"] = json_of(c.cost);
    row["cost_to_accuracy"] = json_of(c.cost_to_accuracy);
    json.push_back(std::move(row));
  }
  return json;
}

}  // namespace trainer
