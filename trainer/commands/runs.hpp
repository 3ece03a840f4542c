// The subcommands of `trainer runs`, added as in commands.hpp.
#pragma once

#include <filesystem>
#include <string>

#include "trainer/commands/commands.hpp"

namespace trainer {

Command add_runs_list(CLI::App& runs, const Environment& environment);
Command add_runs_show(CLI::App& runs, const Environment& environment);
Command add_runs_compare(CLI::App& runs, const Environment& environment);
Command add_runs_report(CLI::App& runs, const Environment& environment);
Command add_runs_attach(CLI::App& runs, const Environment& environment);
Command add_runs_wait(CLI::App& runs, const Environment& environment);
Command add_runs_cancel(CLI::App& runs, const Environment& environment);

// The folder that RUN means: resolve_run, but a file alone is no run. Throws FileError.
std::filesystem::path find_run_folder(const std::string& run, const Environment& environment);

}  // namespace trainer
