// trainer runs list: the runs folder as a table.
#include <cstdio>
#include <fmt/format.h>

#include "trainer/commands/commands.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

using nlohmann::ordered_json;

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
  const std::filesystem::path folder = runs_folder(environment.runs);
  RunList list = list_runs(folder);
  const std::size_t runs = list.runs.size();
  for (const std::string& expression : arguments.where)
    if (!expression.empty()) filter_runs(list.runs, expression);
  if (!arguments.sort.empty()) sort_runs(list.runs, arguments.sort);
  if (arguments.json) {
    fmt::print("{}\n", to_text(runs_json(list.runs), 2));
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

}  // namespace

Command add_runs_list(CLI::App& runs, const Environment& environment) {
  return add_command(runs, environment, "list", "the runs in the runs folder, one a line", declare_list,
                     print_runs);
}

}  // namespace trainer
