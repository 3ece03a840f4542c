// trainer runs attach, wait and cancel: submitted runs that are under way, or ended while nobody looked.
#include <cstdio>
#include <fmt/format.h>
#include <memory>

#include "trainer/commands/commands.hpp"
#include "trainer/commands/runs.hpp"
#include "trainer/files.hpp"
#include "trainer/remote/submission.hpp"
#include "trainer/remote/target_record.hpp"
#include "trainer/settings.hpp"

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

int attach(const Environment& environment, const std::string& name, bool output) {
  return follow_submitted(environment, submitted_run(environment, name).folder, {.output = output});
}

int cancel(const Environment& environment, const std::string& name) {
  const SubmittedRun run = submitted_run(environment, name);
  const std::string id = run.folder.filename().string();
  if (run.record.status != RunStatus::kRunning)
    throw UsageError(fmt::format("{} has ended already; there is nothing to cancel", id));
  const Target target = target_of(environment, run.record);
  const Connection connection(target, environment.runtime);
  const ProcessOutput output = connection.capture(docker::stop(container_of(run.folder, run.record)));
  const bool is_gone = output.code != 0 && explain_failure(target, output).kind == FailureKind::no_container;
  if (output.code != 0 && !is_gone) throw TargetError(target, explain_failure(target, output));
  fmt::print(stderr, "{:<14}{}\n", "cancelled", id);
  try {
    (void)follow_submitted(environment, run.folder, {.output = false});
  } catch (const FileError& error) {
    fmt::print(stderr, "its results are not here yet: {}\n", error.what());
  }
  return 0;
}

Command add_one(CLI::App& runs, const char* name, const char* about,
                const std::function<int(const std::string&)>& action) {
  CLI::App* app = runs.add_subcommand(name, about);
  const auto run = std::make_shared<std::string>();
  app->add_option("RUN", *run, "a submitted run's folder or id, or 'last'")->required();
  return {app, [run, action] { return action(*run); }};
}

}  // namespace

Command add_runs_attach(CLI::App& runs, const Environment& environment) {
  return add_one(runs, "attach",
                 "show a submitted run's output from its beginning, and bring its folder back",
                 [&environment](const std::string& run) { return attach(environment, run, true); });
}

Command add_runs_wait(CLI::App& runs, const Environment& environment) {
  return add_one(runs, "wait", "wait for a submitted run's end, and bring its folder back",
                 [&environment](const std::string& run) { return attach(environment, run, false); });
}

Command add_runs_cancel(CLI::App& runs, const Environment& environment) {
  return add_one(runs, "cancel", "have a submitted run stop and save, and bring its folder back",
                 [&environment](const std::string& run) { return cancel(environment, run); });
}

}  // namespace trainer
