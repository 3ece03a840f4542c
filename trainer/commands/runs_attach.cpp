// trainer runs attach, wait and cancel: submitted runs that are under way, or ended while nobody looked.
#include <cstdio>
#include <fmt/format.h>
#include <memory>

#include "trainer/commands/commands.hpp"
#include "trainer/commands/runs.hpp"
#include "trainer/remote/submission.hpp"
#include "trainer/remote/target_record.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

struct SubmittedRun {
  std::filesystem::path folder;
  RunRecord record;
};

SubmittedRun submitted_run(const Environment& environment, const std::string& name) {
  SubmittedRun run{resolve_run(name, environment.runs), {}};
  run.record = read_run_record(run.folder / kRunRecordName);
  (void)target_of(environment, run.record);
  return run;
}

int follow(const Environment& environment, const std::string& name, const FollowOptions& options) {
  return follow_submitted(environment, submitted_run(environment, name).folder, options);
}

int cancel(const Environment& environment, const std::string& name) {
  const SubmittedRun run = submitted_run(environment, name);
  const std::string id = run.folder.filename().string();
  if (run.record.status != RunStatus::kRunning)
    throw UsageError(fmt::format("{} has ended already; there is nothing to cancel", id));
  const Target target = target_of(environment, run.record);
  const Connection connection(target, environment.runtime);
  const ProcessOutput output = connection.capture(docker::stop(container_of(run.folder, run.record)));
  const bool is_gone = output.code != 0 && explain_failure(target, output).key == "docker-no-container";
  if (output.code != 0 && !is_gone) throw TargetError(target, explain_failure(target, output));
  fmt::print(stderr, "{:<14}{}\n", "cancelled", id);
  try {
    (void)follow_submitted(environment, run.folder, {.output = false});
  } catch (const FileError& error) {
    fmt::print(stderr, "its results are not here yet: {}\n", error.what());
  }
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
