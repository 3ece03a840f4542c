// trainer runs list, show and compare: earlier runs as a table, one in full, and several side by side.
#include <charconv>
#include <cmath>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/runs/run_comparison.hpp"
#include "trainer/runs/run_text.hpp"

namespace trainer {

namespace {

struct ListArguments {
  std::string sort;
  std::vector<std::string> where;
  bool json = false;
  bool csv = false;
};

std::string fields_text() {
  std::string text = "fields of --where and --sort, keys of --json, columns of --csv:\n";
  for (const RunField& field : run_fields())
    text += fmt::format("  {:<20}{:<7}{}\n", field.name, field.kind, field.about);
  return text +
         "--where: FIELD OP VALUE with == != < <= > >=, for texts also =~ and !~ (found, or not\n"
         "found, anywhere in it; with * ? or [...] a pattern of fnmatch(3) for all of it; capitals\n"
         "and small letters alike), joined by && or given several times. What a run does not\n"
         "have meets no condition. All else: --json | jq 'map(select(...))'.\n"
         "  trainer runs list --where 'accuracy > 0.99 && device =~ \"H200\"' --sort seed";
}

// The message that replaces an empty table.
std::string nothing_text(std::size_t runs, const std::string& folder) {
  if (runs == 0) return fmt::format("no runs in {} yet: 'trainer train' makes one\n", folder);
  return fmt::format("none of the {} in {} meets --where\n",
                     runs == 1 ? "1 run" : fmt::format("{} runs", runs), folder);
}

int print_runs(const Environment& environment, const ListArguments& arguments) {
  const fs::path folder = runs_folder(environment.runs);
  RunList list = list_runs(folder);
  const std::size_t runs = list.runs.size();
  for (const std::string& expression : arguments.where)
    if (!expression.empty()) filter_runs(list.runs, expression);
  if (!arguments.sort.empty()) sort_runs(list.runs, arguments.sort);
  if (arguments.json) {
    print_json(runs_json(list.runs));
  } else if (arguments.csv) {
    fmt::print("{}", runs_csv(list.runs));
  } else {
    fmt::print("{}", list.runs.empty() ? nothing_text(runs, folder.string()) : runs_table(list.runs));
  }
  for (const std::string& note : {unreadable_note(list, folder), disagreement_note(list.runs)})
    if (!note.empty()) fmt::print(stderr, "{}\n", note);
  return 0;
}

void declare_list(CLI::App& app, ListArguments& arguments) {
  app.add_option("--sort", arguments.sort, "field to order by; -FIELD: from the highest [-started]")
      ->type_name("[-]FIELD");
  app.add_option("--where", arguments.where,
                 "FIELD OP VALUE that a run must meet, joined by &&; again: that too [all runs]")
      ->type_name("EXPRESSION")
      ->allow_extra_args(false);
  CLI::Option* json = add_json(app, arguments.json, "as JSON, with every field [off]");
  app.add_flag("--csv", arguments.csv, "as comma-separated values, with every field [off]")->excludes(json);
  app.footer(fields_text());
}

int show_run(const Environment& environment, const NamedOptions& arguments) {
  const KnownRun run = read_known_run(find_run_folder(arguments.name, environment));
  if (arguments.json) return print_json(run_json(run));
  fmt::print("{}", run_text(run));
  return 0;
}

void declare_show(CLI::App& app, NamedOptions& arguments) {
  add_run(app, arguments.name, "a run's id or the beginning of one, its folder, 'last' or a registered name");
  add_json(app, arguments.json);
}

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

int print_comparison(const std::vector<KnownRun>& runs, const ComparisonOptions& options, bool only_diff) {
  ordered_json json{{"kind", "run comparison"}};
  if (only_diff) {
    for (const KnownRun& run : runs)
      json["runs"].push_back({{"id", run.id}, {"folder", run.folder.string()}});
  } else {
    json["accuracy"] = options.accuracy;
    json["runs"] = compare_runs(runs, options);
  }
  json["differences"] = differences(runs);
  return print_json(json);
}

int compare_all(const Environment& environment, const CompareArguments& arguments) {
  if (arguments.runs.size() < 2)
    throw UsageError("compare takes two runs or more (trainer runs list shows them)");
  const ComparisonOptions options{fraction_of("--accuracy", arguments.accuracy),
                                  parse_prices(arguments.price)};
  std::vector<KnownRun> runs;
  for (const std::string& run : arguments.runs)
    runs.push_back(read_known_run(find_run_folder(run, environment)));
  if (arguments.json) return print_comparison(runs, options, arguments.only_diff);
  std::string text = comparison_legend(runs) + "\n";
  if (!arguments.only_diff) text += comparison_text(runs, compare_runs(runs, options), options) + "\n";
  fmt::print("{}{}", text, differences_text(differences(runs)));
  return 0;
}

void declare_compare(CLI::App& app, CompareArguments& arguments) {
  app.add_option("RUN", arguments.runs,
                 "two or more: ids or beginnings of them, folders, 'last'; the first is the measure")
      ->required();
  app.add_option("--accuracy", arguments.accuracy,
                 "the accuracy on the test images, 99 or 0.99, that the time to it is asked for");
  CLI::Option* price =
      app.add_option("--price", arguments.price,
                     "of an hour, in any currency: 2.5, or one a run: 2.5,4; adds what the runs cost [none]");
  app.add_flag("--only-diff", arguments.only_diff, "only what differs in configuration and machine [off]")
      ->excludes(price);
  add_json(app, arguments.json);
}

}  // namespace

fs::path find_run_folder(const std::string& run, const Environment& environment) {
  fs::path found = resolve_run(run, environment.runs);
  if (!fs::is_regular_file(found)) return found;  // it may have been deleted meanwhile
  throw FileError(
      fmt::format("{} is a file, not a run: give a run's folder, its id or the beginning of one, or 'last' "
                  "(trainer runs list shows them)",
                  in_quotes(run)));
}

const Command kRunsList{"list", "the runs in the runs folder, one a line",
                        declared<declare_list, print_runs>};
const Command kRunsShow{"show", "one run: configuration, machine, epochs, files",
                        declared<declare_show, show_run>};
const Command kRunsCompare{"compare", "runs side by side: epoch times, speed, what differs",
                           declared<declare_compare, compare_all>};

}  // namespace trainer
