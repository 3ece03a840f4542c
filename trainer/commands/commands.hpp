// The subcommands. Each file beside this one adds one of them to the command line: its options, and what runs
// when it was chosen. Only one runs; its exit status is the program's.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/store/environment.hpp"

namespace trainer {

using CommandAction = std::function<int()>;

// The program's command line before its commands are added.
std::unique_ptr<CLI::App> make_app();

// A validator for numbers without a sign: reading one takes -3 for 2^64 - 3.
std::string no_minus(const std::string& text);

// 0.99 of 99 and of 0.99 alike. Throws UsageError unless it is a share up to 1 or a percentage up to 100.
double fraction_of(const char* option, double accuracy);

// Each adds its subcommand to `app` and gives what to call if it was the one. The environment outlives the
// actions.
struct Command {
  CLI::App* app = nullptr;
  CommandAction action;
};
// Runs the one that was chosen and gives its exit status.
int run_chosen(const std::vector<Command>& all);
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

// Options that several commands have; `about` where one means something else by it.
CLI::Option* add_engine(CLI::App& app, std::string& engine);
CLI::Option* add_device(CLI::App& app, std::string& device,
                        const std::string& about = "auto, cpu, cuda or cuda:N");
CLI::Option* add_threads(CLI::App& app, std::optional<int>& threads);
CLI::Option* add_data(
    CLI::App& app, std::string& data,
    const std::string& about = "IDX files or folder of pictures [TRAINER_DATA, or the shipped MNIST]");
CLI::Option* add_json(CLI::App& app, bool& json, const std::string& about = "as JSON [off]");
inline constexpr const char* kJsonLines = "one JSON value a line on standard output [off]";

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

  int run() const { return run_chosen(all_); }

 private:
  std::vector<Command> all_;
};

}  // namespace trainer
