// The program: reads its environment, parses the command line, runs one command. Every error that is not
// handled below ends here as one line and an exit status: 2 for wrong usage, 1 for failure.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <unistd.h>

#include "models/spec.hpp"
#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/console/command_line.hpp"
#include "trainer/device/memory_need.hpp"
#include "trainer/ranks/launch.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/process.hpp"
#include "trainer/system/signals.hpp"

namespace {
int run(int argc, char** argv) {
  const trainer::Environment environment = trainer::read_environment(argc, argv);
  const std::unique_ptr<CLI::App> made = trainer::make_app();
  CLI::App& app = *made;
  const auto run_command = trainer::add_commands(app, environment);
  try {
    const auto& given = environment.arguments;
    const std::vector<std::string> words = trainer::before_submitted(
        trainer::with_config_file({given.begin() + (given.empty() ? 0 : 1), given.end()}));
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw trainer::UsageError(trainer::usage_message(app, error));
    std::ostringstream text;  // --help, --version
    const int status = app.exit(error, text);
    if (std::fputs(text.str().c_str(), stdout) < 0)
      throw std::system_error(errno, std::generic_category(), "standard output cannot be written");
    return status;
  }
  return run_command();
}

int report(const std::exception& error, int status) {
  std::fputs(("error: " + trainer::printable(error.what()) + "\n").c_str(), stderr);
  return status;
}

// A monitoring system takes 2 for a critical finding, so an error of doctor --prolog must not end with it.
int run_for_caller(int argc, char** argv) {
  try {
    return trainer::require_output(run(argc, argv));
  } catch (const std::exception& error) {
    const auto status = trainer::report_to_monitor({argv, argv + argc}, error.what());
    if (!status) throw;
    return report(error, *status);
  }
}

// All of several ranks make the same mistake, and rank 0 says so. The launcher ends it when another rank ends before it.
int report_usage(const std::exception& error) {
  if (trainer::find_launch(std::getenv).rank == 0) return report(error, 2);
  usleep(500'000);
  return 2;
}

int report_refusal(const char* what) {
  try {
    return report(std::runtime_error(trainer::memory_refusal(what)), 1);
  } catch (const std::bad_alloc&) {
    return std::fputs("error: out of memory\n", stderr), 1;
  }
}
}  // namespace

int main(int argc, char** argv) {
  trainer::expect_refused_memory();
  trainer::limit_malloc_arenas();
  trainer::end_on_signals_as_first_process();
  // A stream that was closed must not become the number of the next file that is opened.
  int file = 0;
  while (file >= 0 && file <= 2) file = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (file > 2) close(file);
  try {
    return run_for_caller(argc, argv);
  } catch (const trainer::UsageError& error) {
    return report_usage(error);
  } catch (const trainer::SpecError& error) {
    return report_usage(error);
  } catch (const trainer::ReportedRankLoss&) {
    return trainer::kRankLostStatus;
  } catch (const trainer::RankLost& error) {
    return report(error, trainer::kRankLostStatus);
  } catch (const trainer::SingletonError& error) {
    return report(error, trainer::kSingletonStatus);
  } catch (const std::bad_alloc&) {
    return report_refusal("out of memory");
  } catch (const std::system_error& error) {  // by std::async, for one
    if (error.code() != std::errc::resource_unavailable_try_again) return report(error, 1);
    return report_refusal("a thread cannot be started");
  } catch (const std::exception& error) {
    return report(error, 1);
  }
}
