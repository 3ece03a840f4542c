// What a launcher (mpirun, srun) tells a process through its environment: its rank, and which MPI connects the ranks.
// A process without a launcher trains alone and never loads an MPI. How a process connects with the other ranks of its launcher, and
// how trainer train --ranks N starts N of them on this machine through the mpirun that is installed.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/communicator.hpp"

namespace trainer {

inline constexpr int kRankLostStatus = 20;   // exit status of RankLost
inline constexpr int kSingletonStatus = 21;  // exit status of SingletonError

// A launcher started several ranks, but MPI connects none of them: each would train alone, into the same folder.
class SingletonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A rank was lost, and one of the others has printed which one: this process ends without another word.
class ReportedRankLoss : public RankLost {
 public:
  using RankLost::RankLost;
};

enum class MpiKind { none, open_mpi, mpich };

struct Launch {
  MpiKind mpi = MpiKind::none;  // none: this process trains alone
  int rank = 0;
  int size = 0;        // the number of ranks, where the launcher says it; else 0
  int local_rank = 0;  // among those of this host; the number of this rank's GPU
  int local_size = 0;  // the number of ranks on this host, where the launcher says it; else 0
};

using Variables = std::function<const char*(const char* name)>;  // std::getenv, or a test's; null: not set

// The first of: Open MPI's variables, PMIx's, PMI's (MPICH), MVAPICH's, Slurm's. Inside mpirun in a Slurm job both sets exist,
// and mpirun's count.
Launch find_launch(const Variables& variables);

// Throws SingletonError if the launcher started several ranks and MPI's world has one: an MPI that does not understand its launcher's
// PMI silently starts as many worlds of one rank (open-mpi/ompi#13523).
void require_world(const Launch& launch, int world);

struct RanksCall {
  Launch launch;
  std::filesystem::path executable;  // this program
  double seconds = 300;              // that all ranks may take to join
};

// Null without a launcher; then no MPI is loaded. Throws SingletonError; RankLost; UsageError naming what is to be installed.
// Ends the process with kRankLostStatus and a line of error if MPI does not start in time, since MPI_Init cannot be interrupted.
std::unique_ptr<Communicator> open_ranks(const RanksCall& call);

// The plugin of this MPI: beside the program, as in a build tree, or in ../lib/mnist-trainer; empty if it is in neither.
std::filesystem::path find_plugin(MpiKind mpi, const std::filesystem::path& executable);

// What libmnist-trainer-openmpi.so and libmnist-trainer-mpich.so export under this name: mpi_communicator.cpp, compiled with either
// MPI, whose binary interfaces differ. It starts MPI; the caller owns the result.
inline constexpr const char* kPluginFunction = "mnist_trainer_open_communicator";
using PluginFunction = Communicator*(double seconds);

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
