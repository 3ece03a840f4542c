// The order of the commands, and what they share.
#include "trainer/commands/commands.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "trainer/device/device_report.hpp"
#include "trainer/ranks/launch.hpp"
#include "trainer/system/signals.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

namespace {

// A validator for numbers without a sign: reading one takes -3 for 2^64 - 3.
std::string no_minus(const std::string& text) {
  return text.find('-') == std::string::npos ? "" : fmt::format("{} is not a number from 0 on", text);
}

}  // namespace

std::unique_ptr<CLI::App> make_app() {
  auto app = std::make_unique<CLI::App>(
      "Trains small convolutional networks on MNIST and data sets like it, and says how fast.", "trainer");
  app->add_flag("--json")->description("of --version: as JSON, with the compiler's and the libraries' [off]");
  app->set_version_flag("--version", [program = app.get()] {
    if (program->count("--json") == 0)
      return fmt::format("trainer {}{}{}", kVersion, *kCommit == '\0' ? "" : " ", kCommit);
    DeviceInfo info;
    info.cpu = describe_cpu(1);
    return versions_json(info).dump(2);
  });
  app->require_subcommand(1);
  app->option_defaults()->always_capture_default();
  return app;
}

std::function<int()> add_commands(CLI::App& app, const Environment& environment) {
  std::vector<std::pair<const CLI::App*, std::function<int()>>> all;
  const auto add = [&](CLI::App& parent, std::initializer_list<const Command*> commands) {
    for (const Command* command : commands) {
      CLI::App* added = parent.add_subcommand(command->name, command->about);
      all.emplace_back(added, command->declare(*added, environment));
      for (CLI::Option* option : added->get_options()) {  // a default that is nothing says nothing
        const std::string& usual = option->get_default_str();
        if (option->get_required() || usual == "[]" || usual == "0") option->default_str("");
      }
    }
  };
  const auto add_group = [&](const char* name, const char* about,
                             std::initializer_list<const Command*> commands) {
    CLI::App* group = app.add_subcommand(name, about);
    group->require_subcommand(1);
    add(*group, commands);
  };
  add(app, {&kTrain, &kEval, &kPredict, &kCommittee, &kExport, &kImport, &kModels});
  add_group("data", "look at a data set: show", {&kDataShow});
  add(app, {&kDevices, &kBench, &kSprint, &kDoctor});
  add_group("runs",
            "earlier runs, and those on other machines: list, show, compare, report, rerun, diff, promote, "
            "export, bundle, watch, delete; attach, wait, cancel, close",
            {&kRunsList, &kRunsShow, &kRunsCompare, &kRunsReport, &kRunsRerun, &kRunsDiff, &kRunsPromote,
             &kRunsExport, &kRunsBundle, &kRunsWatch, &kRunsDelete, &kRunsAttach, &kRunsWait, &kRunsCancel,
             &kRunsClose});
  add_group("registry", "registered networks and their versions: list, show, retire",
            {&kRegistryList, &kRegistryShow, &kRegistryRetire});
  add_group("target", "where runs happen: attach, list, show, check, export and detach places",
            {&kTargetAttach, &kTargetList, &kTargetShow, &kTargetCheck, &kTargetExport, &kTargetDetach});
  add(app, {&kPrepare, &kSubmit});
  return [all = std::move(all)] {
    return std::ranges::find_if(all, [](const auto& one) { return one.first->parsed(); })->second();
  };
}

int print_json(const ordered_json& json) {
  fmt::print("{}\n", to_text(json, 2));
  return 0;
}

int require_output(int status) {
  if (std::fflush(stdout) != 0)
    throw std::system_error(errno, std::generic_category(), "standard output cannot be written");
  if (std::ferror(stdout) != 0) throw std::runtime_error("some of the output could not be written");
  return status;
}

void parse_arguments(CLI::App& command, const Environment& environment) {
  const auto& given = environment.arguments;
  std::vector<std::string> words = with_config_file({given.begin() + 1, given.end()});
  words.erase(words.begin());  // the command's name
  std::ranges::reverse(words);
  command.parse(std::move(words));
}

CLI::Option* add_device(CLI::App& app, std::string& device, const std::string& about) {
  return app.add_option("--device", device, about);
}

CLI::Option* add_engine(CLI::App& app, DeviceRequest& device) {
  return app.add_option(
      "--engine", device.engine,
      "of the layers on a GPU: auto (ours where they are small or normalised, else cuDNN and "
      "cuBLASLt) or libraries (all that these have); nothing changes on a CPU");
}

CLI::Option* add_bits(CLI::App& app, DeviceRequest& device) {
  return app.add_option("--bits", device.bits,
                        "fast, or portable: the same weights, to the bit, on every CPU and GPU, with any "
                        "number of threads [as the run was trained, else fast]");
}

CLI::Option* add_threads(CLI::App& app, DeviceRequest& device) {
  return app.add_option("--threads", device.threads,
                        "of the CPU engine [every usable core; in training as many as a batch has shards]");
}

CLI::Option* add_data(CLI::App& app, std::string& data, const std::string& about) {
  return app.add_option("--data", data, about);
}

void add_channels(CLI::App& app, int& channels) {
  app.add_option("--channels", channels, "of pictures: 1 grey, 3 colour")->check(CLI::IsMember({1, 3}));
}

void add_transpose(CLI::App& app, bool& transpose) {
  app.add_flag(
      "--transpose", transpose,
      "exchange rows and columns of every image, as EMNIST's files need; a run keeps this for its own "
      "data [off]");
}

void add_skip_bad_images(CLI::App& app, bool& skip, const std::string& about) {
  app.add_flag("--skip-bad-images", skip, about);
}

CLI::Option* add_json(CLI::App& app, bool& json, const std::string& about) {
  return app.add_flag("--json", json, about);
}

void declare_json(CLI::App& app, bool& json) {
  add_json(app, json);
}

CLI::Option* add_run(CLI::App& app, std::string& run, const std::string& about) {
  return app.add_option("RUN", run, about)->required();
}

void add_seed(CLI::App& app, const char* name, std::uint64_t& seed, const char* about) {
  app.add_option(name, seed, about)->check(CLI::Validator(no_minus, ""));
}

void add_run_or_file(CLI::App& app, std::string& run) {
  app.add_option("RUN_OR_FILE", run,
                 "a run's folder or id, 'last', a registered name, or a .safetensors file")
      ->required();
}

void add_views(CLI::App& app, std::optional<int>& views) {
  app.add_option("--views", views,
                 "1, or 5: an uncertain image is answered by the mean over itself and its shifts by a pixel "
                 "[the recipe's, else 1]")
      ->check(CLI::IsMember({1, kViews}));
}

void add_inference(CLI::App& app, InferenceOptions& options) {
  add_device(app, options.device.device);
  add_bits(app, options.device);
  add_threads(app, options.device);
  add_views(app, options.views);
}

std::unique_ptr<Communicator> join_ranks(const Environment& environment) {
  const Launch launch = find_launch(std::getenv);
  if (launch.mpi != MpiKind::none) hold_stop_requests();
  return open_ranks({.launch = launch, .executable = environment.executable});
}

void add_output(CLI::App& app, OutputOptions& output, const char* about_out, const char* about_quiet) {
  app.add_option("--out", output.out, about_out);
  CLI::Option* no_save = app.add_flag("--no-save", output.no_save, "write nothing [off]");
  app.add_flag("--tensorboard", output.tensorboard,
               "write TensorBoard's event files in that folder, too: scalars, histograms, pictures [off]")
      ->excludes(no_save);
  add_json(app, output.json, "one JSON value a line on standard output [off]");
  app.add_flag("--quiet", output.quiet, about_quiet);
}

double fraction_of(const char* option, double accuracy) {
  if (!(accuracy > 0 && accuracy <= 100))
    throw UsageError(
        fmt::format("{} {}: an accuracy is a fraction up to 1 or a percentage up to 100", option, accuracy));
  return accuracy > 1 ? accuracy / 100 : accuracy;
}

}  // namespace trainer
