// The subcommands. Each file beside this one has one of them, or a few on one subject: a function declares the options, and a
// function carries out the command. Only one command runs; its exit status is the program's. What every command needs comes with this
// header: CLI11, fmt, errors, files and text.
#pragma once

#include <CLI/CLI.hpp>
#include <fmt/format.h>
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
#include "trainer/system/errors.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/evaluation.hpp"
#include "trainer/train/recorded_run.hpp"

namespace trainer {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

struct Command {
  const char* name;
  const char* about;
  // Adds the options to the command's App; the result carries out the command, once they are parsed. The environment outlives it.
  std::function<int()> (*declare)(CLI::App&, const Environment&);
};

template <class Options>
Options options_of(void (*)(CLI::App&, Options&));

// Command::declare of a command whose function `declare` binds an Options object to the options, and whose function `run` gets it.
template <auto declare, auto run>
std::function<int()> declared(CLI::App& app, const Environment& environment) {
  const auto options = std::make_shared<decltype(options_of(declare))>();
  declare(app, *options);
  return [options, &environment] { return run(environment, *options); };
}

extern const Command kTrain, kEval, kPredict, kCommittee, kExport, kImport, kModels, kDataShow, kDevices,
    kBench, kSprint, kDoctor, kPrepare, kSubmit;
extern const Command kRunsList, kRunsShow, kRunsCompare, kRunsReport, kRunsRerun, kRunsDiff, kRunsPromote,
    kRunsExport, kRunsBundle, kRunsWatch, kRunsDelete, kRunsAttach, kRunsWait, kRunsCancel, kRunsClose;
extern const Command kRegistryList, kRegistryShow, kRegistryRetire;
extern const Command kTargetAttach, kTargetList, kTargetShow, kTargetCheck, kTargetExport, kTargetDetach;

// The program's command line before its commands are added.
std::unique_ptr<CLI::App> make_app();

// Adds all commands; the result, which holds their options, carries out the one that was parsed and returns its exit status.
[[nodiscard]] std::function<int()> add_commands(CLI::App& app, const Environment& environment);

// The other ranks that mpirun or srun has started beside this process; null if it was started alone, and then no MPI is loaded.
std::unique_ptr<Communicator> join_ranks(const Environment& environment);

// Of a command that takes a name, of a run, a version or a target, and --json.
struct NamedOptions {
  std::string name;
  bool json = false;
};

int print_json(const ordered_json& json);  // for people to read, too; returns 0

// Returns `status`. Throws std::system_error if something that was printed is lost: standard output cannot be written.
int require_output(int status);

// If these words (argv) are of doctor --prolog, prints its line for an error and returns the status to end with.
std::optional<int> report_to_monitor(const std::vector<std::string>& words, const std::string& error);

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
fs::path bundle_path(const Environment& environment, const BundleOptions& options);
// Replaces the file, whole; an old one that is not compressed stays. Returns its path. Throws FileError.
std::string write_bundle(const Environment& environment, const BundleOptions& options,
                         const doctor::Facts& facts, const std::vector<Check>& checks);

struct BundledFile {
  fs::path path;  // in the bundle
  std::string contents;
};
// Replaces the names of people and machines in a run's files by stand-ins.
void anonymise(std::vector<BundledFile>& files, const fs::path& run);

struct PredictOptions : InferenceOptions {
  std::vector<std::string> pictures;
  std::string fit = "auto";
  bool json = false;
};
CLI::Option* add_fit(CLI::App& app, std::string& fit);
int predict(const Environment& environment, const PredictOptions& options);

// Finds the folder of RUN as resolve_run does, but a file alone is not a run. Throws FileError.
fs::path find_run_folder(const std::string& run, const Environment& environment);

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
void declare_json(CLI::App& app, bool& json);          // for a command that has no other option
CLI::Option* add_run(CLI::App& app, std::string& run,  // required
                     const std::string& about = "a run's id or the beginning of one, its folder, or 'last'");
void add_seed(CLI::App& app, const char* name, std::uint64_t& seed, const char* about);
void add_run_or_file(CLI::App& app, std::string& run);  // as in resolve_run
void add_views(CLI::App& app, std::optional<int>& views);
void add_inference(CLI::App& app, InferenceOptions& options);  // --device, --bits, --threads, --views
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

}  // namespace trainer
