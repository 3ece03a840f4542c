// trainer runs show: one run in full.
#include <fmt/format.h>
#include <memory>

#include "trainer/commands/runs.hpp"
#include "trainer/runs/known_run.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

struct ShowArguments {
  std::string run;
  bool json = false;
};

int show(const Environment& environment, const ShowArguments& arguments) {
  const KnownRun run = read_known_run(find_run_folder(arguments.run, environment));
  if (arguments.json) {
    fmt::print("{}\n", to_text(run_json(run), 2));
  } else {
    fmt::print("{}", run_text(run));
  }
  require_output();
  return 0;
}

}  // namespace

Command add_runs_show(CLI::App& runs, const Environment& environment) {
  CLI::App* app = runs.add_subcommand("show", "one run: configuration, machine, epochs, files");
  const auto arguments = std::make_shared<ShowArguments>();
  app->add_option("RUN", arguments->run, "a run's id or the beginning of one, its folder, or 'last'")
      ->required();
  add_json(*app, arguments->json);
  return {app, [arguments, &environment] { return show(environment, *arguments); }};
}

}  // namespace trainer
