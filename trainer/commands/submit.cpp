// trainer submit and trainer prepare: what runs where a target says. Everything behind -- is handed on as it
// is.
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <memory>

#include "trainer/commands/commands.hpp"
#include "trainer/remote/submission.hpp"

namespace trainer {

namespace {

struct SubmitArguments {
  std::string target;
  bool detach = false;
  double reconnect = kReconnectSeconds;
};

int submit_to(const Environment& environment, const SubmitArguments& arguments) {
  Submission submission;
  submission.target = TargetFolder(environment.runs.working_folder).find(arguments.target);
  submission.detach = arguments.detach;
  submission.reconnect_seconds = arguments.reconnect;
  const auto& words = environment.arguments;
  const auto mark = std::ranges::find(words, "--");
  std::vector<std::string>& command = submission.target.arguments;
  if (mark != words.end()) command.assign(mark + 1, words.end());
  command = with_config_file(std::move(command));
  return submit(environment, submission);
}

struct PrepareArguments {
  std::string target;
  std::string build;
};

int prepare(const Environment& environment, const PrepareArguments& arguments) {
  const Target target = TargetFolder(environment.runs.working_folder).find(arguments.target);
  const bool has_changed = prepare_target(Connection(target, environment.runtime), arguments.build);
  fmt::print("{} on {}: {}\n", target.image, target.name, has_changed ? "ready" : "up to date");
  require_output();
  return 0;
}

}  // namespace

void add_reconnect(CLI::App& app, double& seconds) {
  app.add_option("--reconnect", seconds, "for how many seconds a lost connection is tried again")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
}

std::vector<std::string> before_submitted(std::vector<std::string> words) {
  if (!words.empty() && words.front() == "submit") words.erase(std::ranges::find(words, "--"), words.end());
  return words;
}

Command add_submit(CLI::App& app, const Environment& environment) {
  CLI::App* submit_app = app.add_subcommand("submit", "run a training where a target says");
  const auto arguments = std::make_shared<SubmitArguments>();
  submit_app->add_option("-c,--target", arguments->target, "a target (trainer target list)")->required();
  submit_app->add_flag("--detach", arguments->detach,
                       "come back as soon as it runs; trainer runs attach picks it up [off]");
  add_reconnect(*submit_app, arguments->reconnect);
  submit_app->footer(
      "Behind -- stands what to run, for instance: trainer submit -c my_dsvm -- train --epochs 10\n"
      "Without it the ArgumentVector of the target's runconfig is run.");
  return {submit_app, [arguments, &environment] { return submit_to(environment, *arguments); }};
}

Command add_prepare(CLI::App& app, const Environment& environment) {
  CLI::App* prepare_app = app.add_subcommand("prepare", "bring this program's image to a target");
  const auto arguments = std::make_shared<PrepareArguments>();
  prepare_app->add_option("-c,--target", arguments->target, "a target (trainer target list)")->required();
  prepare_app->add_option("--build", arguments->build,
                          "folder with a Dockerfile to build the image from here [none]");
  return {prepare_app, [arguments, &environment] { return prepare(environment, *arguments); }};
}

}  // namespace trainer
