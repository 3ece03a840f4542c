// trainer runs compare: runs side by side, their speed and what differs.
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/runs/run_comparison.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

struct CompareArguments {
  std::vector<std::string> runs;
  double accuracy = 0.99;
  std::string price;
  bool only_diff = false;
  bool json = false;
};

// "2.5" or "2.5,4".
std::vector<double> parse_prices(const std::string& text) {
  std::vector<double> prices;
  const char* at = text.data();
  const char* end = at + text.size();
  while (!text.empty()) {
    double price = 0;
    const auto [stop, error] = std::from_chars(at, end, price);
    const bool good =
        error == std::errc() && (stop == end || *stop == ',') && std::isfinite(price) && price >= 0;
    if (!good) {
      throw UsageError(
          fmt::format("--price {}: an amount an hour, 2.5, or one a run: 2.5,4", in_quotes(text)));
    }
    prices.push_back(price);
    if (stop == end) break;
    at = stop + 1;
  }
  return prices;
}

void print_comparison(const std::vector<KnownRun>& runs, const ComparisonOptions& options, bool only_diff) {
  ordered_json json{{"kind", "run comparison"}};
  if (only_diff) {
    for (const KnownRun& run : runs)
      json["runs"].push_back({{"id", run.id}, {"folder", run.folder.string()}});
  } else {
    json["accuracy"] = options.accuracy;
    json["runs"] = compare_runs(runs, options);
  }
  json["differences"] = differences(runs);
  fmt::print("{}\n", to_text(json, 2));
}

int compare_all(const Environment& environment, const CompareArguments& arguments) {
  if (arguments.runs.size() < 2)
    throw UsageError("compare takes two runs or more (trainer runs list shows them)");
  const ComparisonOptions options{fraction_of("--accuracy", arguments.accuracy),
                                  parse_prices(arguments.price)};
  std::vector<KnownRun> runs;
  for (const std::string& run : arguments.runs)
    runs.push_back(read_known_run(find_run_folder(run, environment)));
  if (arguments.json) {
    print_comparison(runs, options, arguments.only_diff);
  } else {
    std::string text = comparison_legend(runs) + "\n";
    if (!arguments.only_diff) text += comparison_text(runs, compare_runs(runs, options), options) + "\n";
    fmt::print("{}{}", text, differences_text(differences(runs)));
  }
  return 0;
}

void declare_compare(CLI::App& app, CompareArguments& arguments) {
  app.add_option("RUN", arguments.runs,
                 "two or more: ids or beginnings of them, folders, 'last'; the first is the measure")
      ->required();
  app.add_option("--accuracy", arguments.accuracy,
                 "the accuracy on the test images, 99 or 0.99, that the time to it is asked for")
      ->capture_default_str();
  CLI::Option* price =
      app.add_option("--price", arguments.price,
                     "of an hour, in any currency: 2.5, or one a run: 2.5,4; adds what the runs cost [none]");
  app.add_flag("--only-diff", arguments.only_diff, "only what differs in configuration and machine [off]")
      ->excludes(price);
  add_json(app, arguments.json);
}

}  // namespace

Command add_runs_compare(CLI::App& runs, const Environment& environment) {
  return add_command(runs, environment, "compare", "runs side by side: epoch times, speed, what differs",
                     declare_compare, compare_all);
}

}  // namespace trainer
