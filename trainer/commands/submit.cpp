// Runs on other machines: trainer submit and prepare, which send them to a target (everything after -- is passed on unchanged),
// and trainer runs attach, wait, cancel and close, for runs that are in progress or have ended unobserved.
#include <algorithm>

#include "trainer/commands/commands.hpp"
#include "trainer/remote/submission.hpp"

namespace trainer {

namespace {

void add_reconnect(CLI::App& app, double& seconds) {
  app.add_option("--reconnect", seconds, "for how many seconds a lost connection is tried again")
      ->check(CLI::Range(0.0, 1e6))
      ->check([](const std::string& text) {  // CLI::Range lets NaN through
        return std::string(text.find_first_of("nN") == text.npos ? "" : "a time in seconds is a number");
      });
}

struct SubmitArguments : Submission {
  std::string target_name, resume;
};

int submit_to(const Environment& environment, const SubmitArguments& arguments) {
  Submission submission = arguments;
  std::string name = arguments.target_name;
  if (!arguments.resume.empty()) {
    submission.resumed = find_run_folder(arguments.resume, environment);
    if (name.empty())
      name = target_of(environment, read_run_record(submission.resumed / kRunRecordName)).name;
  }
  if (name.empty()) throw UsageError("-c,--target is missing: the target to run on (trainer target list)");
  submission.target = TargetFolder(environment.runs.working_folder).find(name);
  const auto& words = environment.arguments;
  const auto mark = std::ranges::find(words, "--");
  std::vector<std::string>& command = submission.target.arguments;
  if (mark != words.end()) command.assign(mark + 1, words.end());
  if (mark == words.end() && !arguments.resume.empty()) command = {"train"};
  command = with_config_file(std::move(command));
  return submit(environment, submission);
}

void declare_submit(CLI::App& app, SubmitArguments& arguments) {
  app.add_option("-c,--target", arguments.target_name,
                 "a target (trainer target list) [with --resume: the run's own]");
  app.add_option("--resume", arguments.resume,
                 "a run to continue from its checkpoint: a folder or id, or 'last'");
  app.add_flag("--detach", arguments.detach,
               "come back as soon as it runs; trainer runs attach picks it up [off]");
  add_reconnect(app, arguments.reconnect_seconds);
  app.footer(
      "Behind -- stands what to run, for instance: trainer submit -c my_dsvm -- train --epochs 10\n"
      "Without it the ArgumentVector of the target's runconfig is run.");
}

struct PrepareArguments {
  std::string target;
  std::string build;
};

int prepare(const Environment& environment, const PrepareArguments& arguments) {
  const Target target = TargetFolder(environment.runs.working_folder).find(arguments.target);
  const bool has_changed = prepare_target(Connection(target, environment.runtime), arguments.build);
  fmt::print("{} on {}: {}\n", target.image, target.name, has_changed ? "ready" : "up to date");
  return 0;
}

void declare_prepare(CLI::App& app, PrepareArguments& arguments) {
  app.add_option("-c,--target", arguments.target, "a target (trainer target list)")->required();
  app.add_option("--build", arguments.build, "folder with a Dockerfile to build the image from here [none]");
}

// The folder of a submitted run whose target still exists.
fs::path submitted_run(const Environment& environment, const std::string& name) {
  fs::path folder = resolve_run(name, environment.runs);
  (void)target_of(environment, read_run_record(folder / kRunRecordName));
  return folder;
}

struct FollowArguments {
  std::string run;
  FollowOptions options;
};

int follow(const Environment& environment, const FollowArguments& arguments) {
  return follow_submitted(environment, submitted_run(environment, arguments.run), arguments.options);
}

int cancel(const Environment& environment, const std::string& name) {
  cancel_submitted(environment, submitted_run(environment, name));
  return 0;
}

int close_record_of(const Environment& environment, const std::string& name) {
  close_submitted(find_run_folder(name, environment));
  return 0;
}

void declare_cancel(CLI::App& app, std::string& run) {
  add_run(app, run, "a submitted run's folder or id, or 'last'");
}

void declare_attach(CLI::App& app, FollowArguments& arguments) {
  declare_cancel(app, arguments.run);
  add_reconnect(app, arguments.options.reconnect_seconds);
}

void declare_wait(CLI::App& app, FollowArguments& arguments) {
  declare_attach(app, arguments);
  arguments.options.output = false;
}

}  // namespace

std::vector<std::string> before_submitted(std::vector<std::string> words) {
  if (!words.empty() && words.front() == "submit") words.erase(std::ranges::find(words, "--"), words.end());
  return words;
}

const Command kSubmit{"submit", "run a training where a target says", declared<declare_submit, submit_to>};

const Command kPrepare{"prepare", "bring this program's image to a target",
                       declared<declare_prepare, prepare>};

const Command kRunsAttach{"attach",
                          "show a submitted run's output from its beginning, and bring its folder back",
                          declared<declare_attach, follow>};

const Command kRunsWait{"wait", "wait for a submitted run's end, and bring its folder back",
                        declared<declare_wait, follow>};

const Command kRunsCancel{"cancel", "have a submitted run stop and save, and bring its folder back",
                          declared<declare_cancel, cancel>};

const Command kRunsClose{"close", "end the record of a submitted run whose machine is gone for good",
                         declared<declare_cancel, close_record_of>};

}  // namespace trainer
