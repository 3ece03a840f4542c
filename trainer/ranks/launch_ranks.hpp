// trainer train --ranks N: starts N ranks of this program on this machine through the mpirun that is installed.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/ranks/launch.hpp"

namespace trainer {

struct RanksRequest {
  int ranks = 1;
  std::filesystem::path executable;    // this program
  std::vector<std::string> arguments;  // its own, without --ranks
};

// What decides which words mpirun needs.
struct LauncherSurroundings {
  MpiKind mpi = MpiKind::open_mpi;
  std::string program = "mpirun";  // its name
  int cpus = 1;                    // that this process may use
  bool is_root = false;
};

std::vector<std::string> launcher_words(const RanksRequest& request,
                                        const LauncherSurroundings& surroundings);

// The exit status of all ranks, given the launcher's and the signal that asked this process to stop (0: none). A rank that was
// killed counts as lost.
int status_of_ranks(int launcher_status, int stop_signal);

// Prints the launcher's words and runs them to their end; returns status_of_ranks(). The first SIGINT, SIGTERM or SIGHUP reaches the
// ranks as SIGUSR1, the second ends them. Throws UsageError that names the package to install if there is no launcher.
int launch_ranks(const RanksRequest& request);

}  // namespace trainer
