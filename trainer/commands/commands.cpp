// What the commands share.
#include "trainer/commands/commands.hpp"

#include <cerrno>
#include <cstdio>
#include <fmt/format.h>
#include <system_error>

#include "trainer/system/errors.hpp"
#include "trainer/system/version.hpp"

namespace trainer {

std::unique_ptr<CLI::App> make_app() {
  auto app = std::make_unique<CLI::App>(
      "Trains small convolutional networks on MNIST and data sets like it, and says how fast.", "trainer");
  app->set_version_flag("--version",
                        fmt::format("trainer {}{}{}", kVersion, *kCommit == '\0' ? "" : " ", kCommit));
  app->require_subcommand(1);
  return app;
}

std::string no_minus(const std::string& text) {
  return text.find('-') == std::string::npos ? "" : fmt::format("{} is not a number from 0 on", text);
}

double fraction_of(const char* option, double accuracy) {
  if (!(accuracy > 0 && accuracy <= 100))
    throw UsageError(fmt::format("{} {}: a share up to 1 or a percentage up to 100", option, accuracy));
  return accuracy > 1 ? accuracy / 100 : accuracy;
}

int run_chosen(const std::vector<Command>& all) {
  for (const Command& command : all)
    if (command.app->parsed()) return command.action();
  return 2;
}

void require_output() {
  if (std::fflush(stdout) != 0)
    throw std::system_error(errno, std::generic_category(), "standard output cannot be written");
}

CLI::Option* add_engine(CLI::App& app, std::string& engine) {
  return app
      .add_option("--engine", engine,
                  "of the layers on a GPU: auto (ours where they are small or normalised, else cuDNN and "
                  "cuBLASLt) or libraries (all that these have); nothing changes on a CPU")
      ->capture_default_str();
}

CLI::Option* add_device(CLI::App& app, std::string& device, const std::string& about) {
  return app.add_option("--device", device, about)->capture_default_str();
}

CLI::Option* add_threads(CLI::App& app, std::optional<int>& threads) {
  return app.add_option("--threads", threads, "of the CPU engine [every usable core]");
}

CLI::Option* add_data(CLI::App& app, std::string& data, const std::string& about) {
  return app.add_option("--data", data, about);
}

CLI::Option* add_json(CLI::App& app, bool& json, const std::string& about) {
  return app.add_flag("--json", json, about);
}

}  // namespace trainer
