// The program: reads its environment, parses the command line, runs one command. Every error that is not
// handled below ends here as one line and an exit status: 2 for wrong usage, 1 for failure.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <fmt/format.h>

#include "models/spec.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/environment.hpp"
#include "trainer/settings.hpp"
#include "trainer/version.hpp"

namespace {

int run(const trainer::Environment& environment) {
  CLI::App app("Trains small convolutional networks on MNIST and data sets like it, and says how fast.",
               "trainer");
  app.set_version_flag("--version", fmt::format("trainer {} {}", trainer::kVersion, trainer::kCommit));
  app.require_subcommand(1);
  trainer::Commands commands(app, environment);
  try {
    const std::vector<std::string> arguments = commands.with_config_file(environment.arguments);
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // --help, --version
    app.exit(error);
    return asked ? 0 : 2;
  }
  return commands.run();
}

}  // namespace

int main(int argc, char** argv) {
  const trainer::Environment environment = trainer::read_environment(argc, argv);
  try {
    return run(environment);
  } catch (const trainer::UsageError& error) {
    fmt::print(stderr, "trainer: {}\n", error.what());
    return 2;
  } catch (const trainer::SpecError& error) {
    fmt::print(stderr, "trainer: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "trainer: {}\n", error.what());
    return 1;
  }
}
