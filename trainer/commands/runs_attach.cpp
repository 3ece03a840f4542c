// trainer runs attach, wait and cancel: submitted runs that are under way, or ended while nobody looked.
#include <memory>

#include "trainer/commands/commands.hpp"
#include "trainer/commands/runs.hpp"
#include "trainer/remote/submission.hpp"

namespace trainer {

namespace {

// The folder of a run that was submitted to a target that is there.
std::filesystem::path submitted_run(const Environment& environment, const std::string& name) {
  std::filesystem::path folder = resolve_run(name, environment.runs);
  (void)target_of(environment, read_run_record(folder / kRunRecordName));
  return folder;
}

int follow(const Environment& environment, const std::string& name, const FollowOptions& options) {
  return follow_submitted(environment, submitted_run(environment, name), options);
}

int cancel(const Environment& environment, const std::string& name) {
  cancel_submitted(environment, submitted_run(environment, name));
  return 0;
}

struct RunArgument {
  std::string run;
  FollowOptions options;
};

CLI::App* add_one(CLI::App& runs, const char* name, const char* about, RunArgument& argument) {
  CLI::App* app = runs.add_subcommand(name, about);
  app->add_option("RUN", argument.run, "a submitted run's folder or id, or 'last'")->required();
  return app;
}

Command add_following(CLI::App& runs, const Environment& environment, const char* name, const char* about,
                      bool output) {
  const auto argument = std::make_shared<RunArgument>();
  argument->options.output = output;
  CLI::App* app = add_one(runs, name, about, *argument);
  add_reconnect(*app, argument->options.reconnect_seconds);
  return {app, [&environment, argument] { return follow(environment, argument->run, argument->options); }};
}

}  // namespace

Command add_runs_attach(CLI::App& runs, const Environment& environment) {
  return add_following(runs, environment, "attach",
                       "show a submitted run's output from its beginning, and bring its folder back", true);
}

Command add_runs_wait(CLI::App& runs, const Environment& environment) {
  return add_following(runs, environment, "wait", "wait for a submitted run's end, and bring its folder back",
                       false);
}

Command add_runs_cancel(CLI::App& runs, const Environment& environment) {
  const auto argument = std::make_shared<RunArgument>();
  CLI::App* app =
      add_one(runs, "cancel", "have a submitted run stop and save, and bring its folder back", *argument);
  return {app, [&environment, argument] { return cancel(environment, argument->run); }};
}

}  // namespace trainer
