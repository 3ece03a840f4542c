// What the commands share.
#include "trainer/commands/commands.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fmt/format.h>
#include <stdexcept>
#include <system_error>

#include "trainer/device/device_report.hpp"
#include "trainer/ranks/launch.hpp"
#include "trainer/system/errors.hpp"
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
  return app;
}

int require_output(int status) {
  if (std::fflush(stdout) != 0)
    throw std::system_error(errno, std::generic_category(), "standard output cannot be written");
  if (std::ferror(stdout) != 0) throw std::runtime_error("some of the output could not be written");
  return status;
}

int run_chosen(const std::vector<Command>& all) {
  for (const Command& command : all) {
    if (command.app->parsed()) return command.action();
  }
  return 2;
}

void parse_arguments(CLI::App& command, const Environment& environment) {
  const auto& given = environment.arguments;
  std::vector<std::string> words = with_config_file({given.begin() + 1, given.end()});
  words.erase(words.begin());  // the command's name
  std::ranges::reverse(words);
  command.parse(std::move(words));
}

CLI::Option* add_device(CLI::App& app, std::string& device, const std::string& about) {
  return app.add_option("--device", device, about)->capture_default_str();
}

CLI::Option* add_engine(CLI::App& app, DeviceRequest& device) {
  return app
      .add_option("--engine", device.engine,
                  "of the layers on a GPU: auto (ours where they are small or normalised, else cuDNN and "
                  "cuBLASLt) or libraries (all that these have); nothing changes on a CPU")
      ->capture_default_str();
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
  app.add_option("--channels", channels, "of pictures: 1 grey, 3 colour")
      ->check(CLI::IsMember({1, 3}))
      ->capture_default_str();
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

void add_seed(CLI::App& app, const char* name, std::uint64_t& seed, const char* about) {
  app.add_option(name, seed, about)->check(CLI::Validator(no_minus, ""))->capture_default_str();
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

void add_target_name(CLI::App& app, std::string& target) {
  app.add_option("-c,--target", target, "a target (trainer target list)")->required();
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
