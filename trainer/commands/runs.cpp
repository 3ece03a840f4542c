// trainer runs: what earlier runs came to. Each of its own subcommands is a file beside this one.
#include "trainer/commands/runs.hpp"

#include <fmt/format.h>

#include "models/words.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

std::filesystem::path find_run_folder(const std::string& run, const Environment& environment) {
  std::filesystem::path found = resolve_run(run, environment.runs);
  if (std::filesystem::is_directory(found)) return found;
  throw FileError(
      fmt::format("{} is a file, not a run: give a run's folder, its id or the beginning of one, or 'last' "
                  "(trainer runs list shows them)",
                  in_quotes(run)));
}

Command add_runs(CLI::App& app, const Environment& environment) {
  CLI::App* runs = app.add_subcommand(
      "runs", "earlier runs, and those on other machines: list, show, compare, report; attach, wait, cancel");
  runs->require_subcommand(1);
  const std::vector<Command> all{
      add_runs_list(*runs, environment),    add_runs_show(*runs, environment),
      add_runs_compare(*runs, environment), add_runs_report(*runs, environment),
      add_runs_attach(*runs, environment),  add_runs_wait(*runs, environment),
      add_runs_cancel(*runs, environment),
  };
  return {runs, [all] { return run_chosen(all); }};
}

}  // namespace trainer
