// trainer runs: the results of earlier runs. `show` is here; the other subcommands are in files beside this one.
#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

struct ShowArguments {
  std::string run;
  bool json = false;
};

int show_run(const Environment& environment, const ShowArguments& arguments) {
  const KnownRun run = read_known_run(find_run_folder(arguments.run, environment));
  fmt::print("{}", arguments.json ? to_text(run_json(run), 2) + "\n" : run_text(run));
  return 0;
}

void declare_show(CLI::App& app, ShowArguments& arguments) {
  app.add_option("RUN", arguments.run,
                 "a run's id or the beginning of one, its folder, 'last' or a registered name")
      ->required();
  add_json(app, arguments.json);
}

}  // namespace

std::filesystem::path find_run_folder(const std::string& run, const Environment& environment) {
  std::filesystem::path found = resolve_run(run, environment.runs);
  if (!std::filesystem::is_regular_file(found)) return found;  // it may have been deleted meanwhile
  throw FileError(
      fmt::format("{} is a file, not a run: give a run's folder, its id or the beginning of one, or 'last' "
                  "(trainer runs list shows them)",
                  in_quotes(run)));
}

Command add_runs(CLI::App& app, const Environment& environment) {
  CLI::App* runs = app.add_subcommand(
      "runs",
      "earlier runs, and those on other machines: list, show, compare, report, rerun, diff, promote, "
      "export, bundle, watch, delete; attach, wait, cancel, close");
  runs->require_subcommand(1);
  const std::vector<Command> all{
      add_runs_list(*runs, environment),
      add_command(*runs, environment, "show", "one run: configuration, machine, epochs, files", declare_show,
                  show_run),
      add_runs_compare(*runs, environment),
      add_runs_report(*runs, environment),
      add_runs_rerun(*runs, environment),
      add_runs_diff(*runs, environment),
      add_runs_promote(*runs, environment),
      add_runs_export(*runs, environment),
      add_runs_bundle(*runs, environment),
      add_runs_watch(*runs, environment),
      add_runs_delete(*runs, environment),
      add_runs_attach(*runs, environment),
      add_runs_wait(*runs, environment),
      add_runs_cancel(*runs, environment),
      add_runs_close(*runs, environment),
  };
  return {runs, [all] { return run_chosen(all); }};
}

}  // namespace trainer
