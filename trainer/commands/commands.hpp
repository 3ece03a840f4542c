// The subcommands. Each file beside this one adds one of them, or a few on one subject, to the command line: one function
// declares the options, and one carries out the command. Only one command runs; its exit status is the program's.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/console/check.hpp"
#include "trainer/device/device_choice.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/infer/trained_network.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/train/evaluation.hpp"
#include "trainer/train/recorded_run.hpp"

namespace trainer {

// The program's command line before its commands are added.
std::unique_ptr<CLI::App> make_app();

struct Command {
  CLI::App* app = nullptr;
  std::function<int()> action;
};

// Adds the subcommand `name` to `parent`: `declare` binds its options to an Options object, which `run` is given once the
// command line is parsed. The environment outlives the command.
template <class Options>
Command add_command(CLI::App& parent, const Environment& environment, const char* name, const char* about,
                    void (*declare)(CLI::App&, Options&), int (*run)(const Environment&, const Options&)) {
  CLI::App* app = parent.add_subcommand(name, about);
  const auto options = std::make_shared<Options>();
  declare(*app, *options);
  return {app, [options, run, &environment] { return run(environment, *options); }};
}

// The other ranks that mpirun or srun has started beside this process; null if it was started alone, and then no MPI is loaded.
std::unique_ptr<Communicator> join_ranks(const Environment& environment);

// Returns `status`. Throws std::system_error if something that was printed is lost: standard output cannot be written.
int require_output(int status);

// If these words (argv) are of doctor --prolog, prints its line for an error and returns the status to end with.
std::optional<int> report_to_monitor(const std::vector<std::string>& words, const std::string& error);

// Runs the chosen command and returns its exit status.
int run_chosen(const std::vector<Command>& all);

Command add_train(CLI::App& app, const Environment& environment);
Command add_eval(CLI::App& app, const Environment& environment);
Command add_predict(CLI::App& app, const Environment& environment);
Command add_committee(CLI::App& app, const Environment& environment);
Command add_export(CLI::App& app, const Environment& environment);
Command add_import(CLI::App& app, const Environment& environment);
Command add_models(CLI::App& app, const Environment& environment);
Command add_data_sets(CLI::App& app, const Environment& environment);
Command add_devices(CLI::App& app, const Environment& environment);
Command add_doctor(CLI::App& app, const Environment& environment);
Command add_bench(CLI::App& app, const Environment& environment);
Command add_sprint(CLI::App& app, const Environment& environment);
Command add_runs(CLI::App& app, const Environment& environment);
Command add_registry(CLI::App& app, const Environment& environment);
Command add_target(CLI::App& app, const Environment& environment);
Command add_prepare(CLI::App& app, const Environment& environment);
Command add_submit(CLI::App& app, const Environment& environment);

// The subcommands of `trainer runs`.
Command add_runs_list(CLI::App& runs, const Environment& environment);
Command add_runs_compare(CLI::App& runs, const Environment& environment);
Command add_runs_report(CLI::App& runs, const Environment& environment);
Command add_runs_rerun(CLI::App& runs, const Environment& environment);
Command add_runs_diff(CLI::App& runs, const Environment& environment);
Command add_runs_promote(CLI::App& runs, const Environment& environment);
Command add_runs_export(CLI::App& runs, const Environment& environment);
Command add_runs_bundle(CLI::App& runs, const Environment& environment);
Command add_runs_watch(CLI::App& runs, const Environment& environment);
Command add_runs_delete(CLI::App& runs, const Environment& environment);
Command add_runs_attach(CLI::App& runs, const Environment& environment);
Command add_runs_wait(CLI::App& runs, const Environment& environment);
Command add_runs_cancel(CLI::App& runs, const Environment& environment);
Command add_runs_close(CLI::App& runs, const Environment& environment);

// What `runs rerun` trains: the network, the settings and the data of a run.
struct Rerun {
  Spec spec;
  TrainSettings settings;
  std::uint64_t steps = 0;  // after which it ends; 0: at the recipe's end
  std::string data;
  OutputOptions output;
};
// Trains it. The environment's arguments are the run's command (argv), whose other options count too. Return the exit status.
int train_again(const Environment& environment, const Rerun& rerun);
int sprint_again(const Environment& environment, const Rerun& rerun);
// Parses the environment's arguments with the options of a command.
void parse_arguments(CLI::App& command, const Environment& environment);

// What to attach to a bug report: a .tar.gz of the doctor's report and of a run.
struct BundleOptions {
  std::string out;           // the file
  std::string run = "last";  // no run at all is an error only for `runs bundle`
  bool weights = false;
  bool anonymous = false;
};
std::vector<CLI::Option*> add_bundle_contents(CLI::App& app, BundleOptions& options, CLI::Option* file);
// Where it is written. Throws FileError, before the doctor's work, for a folder or a file that is no bundle.
std::filesystem::path bundle_path(const Environment& environment, const BundleOptions& options);
// Replaces the file, whole; an old one that is not compressed stays. Returns its path. Throws FileError.
std::string write_bundle(const Environment& environment, const BundleOptions& options,
                         const doctor::Facts& facts, const std::vector<Check>& checks);

struct EvalOptions : InferenceOptions {
  std::string logits;  // the file
  bool json = false;
};
void add_eval_options(CLI::App& app, EvalOptions& options);  // all but the networks
int eval(const Environment& environment, const EvalOptions& options);

struct PredictOptions : InferenceOptions {
  std::vector<std::string> pictures;
  std::string fit = "auto";
  bool json = false;
};
CLI::Option* add_fit(CLI::App& app, std::string& fit);
int predict(const Environment& environment, const PredictOptions& options);

// Finds the folder of RUN as resolve_run does, but a file alone is not a run. Throws FileError.
std::filesystem::path find_run_folder(const std::string& run, const Environment& environment);

// Options that several commands have; `about` replaces the help text where a command needs another one.
CLI::Option* add_device(CLI::App& app, std::string& device,
                        const std::string& about = "auto, cpu, cuda or cuda:N");
CLI::Option* add_engine(CLI::App& app, DeviceRequest& device);
CLI::Option* add_bits(CLI::App& app, DeviceRequest& device);
CLI::Option* add_threads(CLI::App& app, DeviceRequest& device);
CLI::Option* add_data(
    CLI::App& app, std::string& data,
    const std::string& about = "IDX files or folder of pictures [TRAINER_DATA, or the shipped MNIST]");
void add_channels(CLI::App& app, int& channels);
void add_transpose(CLI::App& app, bool& transpose);
void add_skip_bad_images(CLI::App& app, bool& skip,
                         const std::string& about = "leave broken pictures out [off]");
CLI::Option* add_json(CLI::App& app, bool& json, const std::string& about = "as JSON [off]");
void add_seed(CLI::App& app, const char* name, std::uint64_t& seed, const char* about);
void add_run_or_file(CLI::App& app, std::string& run);  // as in resolve_run
void add_views(CLI::App& app, std::optional<int>& views);
void add_inference(CLI::App& app, InferenceOptions& options);  // --device, --bits, --threads, --views
void add_tested_runs(CLI::App& app, std::vector<std::string>& runs,
                     InferenceOptions& options);           // RUN..., and where to test them
void add_target_name(CLI::App& app, std::string& target);  // -c, --target
// --out, --no-save, --json and --quiet.
void add_output(CLI::App& app, OutputOptions& output, const char* about_out, const char* about_quiet);

// On the device that `device` names. What is missing is noted on standard error. The environment outlives it.
PictureAdder picture_adder(const Environment& environment, const DeviceRequest& device);

// 0.99 for both 0.99 and 99. Throws UsageError unless `accuracy` is a fraction up to 1 or a percentage up to 100.
double fraction_of(const char* option, double accuracy);

// The words of a command, without the program's name; those of `train` have gone through with_config_lines.
std::vector<std::string> with_config_file(std::vector<std::string> words);

// For `submit`, the words before --, since the rest is for the target; for other commands, all words.
std::vector<std::string> before_submitted(std::vector<std::string> words);

class Commands {
 public:
  Commands(CLI::App& app, const Environment& environment)
      : all_{add_train(app, environment),     add_eval(app, environment),      add_predict(app, environment),
             add_committee(app, environment), add_export(app, environment),    add_import(app, environment),
             add_models(app, environment),    add_data_sets(app, environment), add_devices(app, environment),
             add_bench(app, environment),     add_sprint(app, environment),    add_doctor(app, environment),
             add_runs(app, environment),      add_registry(app, environment),  add_target(app, environment),
             add_prepare(app, environment),   add_submit(app, environment)} {}

  int run() const { return run_chosen(all_); }

 private:
  std::vector<Command> all_;
};

}  // namespace trainer
