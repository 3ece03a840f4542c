// The subcommands. Each file beside this one adds one of them to the command line: its options, and what runs
// when it was chosen. Only one runs; its exit status is the program's.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "trainer/store/environment.hpp"

namespace trainer {

using CommandAction = std::function<int()>;

// The program's command line before its commands are added.
std::unique_ptr<CLI::App> make_app();

// A validator for numbers without a sign: reading one takes -3 for 2^64 - 3.
std::string no_minus(const std::string& text);

// Throws UsageError unless it is a share up to 1 or a percentage up to 100: 99 and 0.99 both mean 99 %.
void check_accuracy(const char* option, double accuracy);

// Each adds its subcommand to `app` and gives what to call if it was the one. The environment outlives the
// actions.
struct Command {
  CLI::App* app = nullptr;
  CommandAction action;
};
// The end of a command that only prints: throws if its output did not reach where it should.
void require_output();
Command add_train(CLI::App& app, const Environment& environment);
Command add_eval(CLI::App& app, const Environment& environment);
Command add_predict(CLI::App& app, const Environment& environment);
Command add_models(CLI::App& app, const Environment& environment);
Command add_devices(CLI::App& app, const Environment& environment);
Command add_doctor(CLI::App& app, const Environment& environment);
Command add_bench(CLI::App& app, const Environment& environment);
Command add_sprint(CLI::App& app, const Environment& environment);
Command add_runs(CLI::App& app, const Environment& environment);
Command add_target(CLI::App& app, const Environment& environment);
Command add_prepare(CLI::App& app, const Environment& environment);
Command add_submit(CLI::App& app, const Environment& environment);

// --reconnect of the commands that follow a submitted run.
void add_reconnect(CLI::App& app, double& seconds);

// --engine of the commands that train.
CLI::Option* add_engine(CLI::App& app, std::string& engine);

// Words of a command without the program's name; of `train`, with what its --config FILE says in its place.
std::vector<std::string> with_config_file(std::vector<std::string> words);

// What stands before the -- of `submit`: the rest is for the target, not for this command line.
std::vector<std::string> before_submitted(std::vector<std::string> words);

class Commands {
 public:
  Commands(CLI::App& app, const Environment& environment)
      : all_{add_train(app, environment),  add_eval(app, environment),    add_predict(app, environment),
             add_models(app, environment), add_devices(app, environment), add_bench(app, environment),
             add_sprint(app, environment), add_doctor(app, environment),  add_runs(app, environment),
             add_target(app, environment), add_prepare(app, environment), add_submit(app, environment)} {}

  int run() const {
    for (const Command& command : all_) {
      if (command.app->parsed()) return command.action();
    }
    return 2;
  }

 private:
  std::vector<Command> all_;
};

}  // namespace trainer
