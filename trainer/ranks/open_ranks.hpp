// Connects this process with the other ranks that a launcher has started.
#pragma once

#include <filesystem>
#include <memory>

#include "trainer/ranks/launch.hpp"

namespace trainer {

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

}  // namespace trainer
