#include "trainer/ranks/launch.hpp"

#include <array>
#include <charconv>
#include <fmt/format.h>
#include <string_view>

namespace trainer {

namespace {

struct Launcher {
  MpiKind mpi;
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
};

// PMIx does not say the size; SLURM_NTASKS is set in the shell of sbatch too, where there is one process.
constexpr std::array kLaunchers{
    Launcher{MpiKind::open_mpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
             "OMPI_COMM_WORLD_LOCAL_SIZE"},
    Launcher{MpiKind::open_mpi, "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""},
    Launcher{MpiKind::mpich, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    Launcher{MpiKind::mpich, "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK",
             "MV2_COMM_WORLD_LOCAL_SIZE"},
    Launcher{MpiKind::none, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""}};

// -1: not set, or not a number.
int number_of(const Variables& variables, const char* name) {
  const char* value = variables(name);
  if (value == nullptr) return -1;
  const std::string_view text = value;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : -1;
}

}  // namespace

Launch find_launch(const Variables& variables) {
  for (const Launcher& launcher : kLaunchers) {
    const int rank = number_of(variables, launcher.rank);
    if (rank < 0) continue;
    int local_rank = number_of(variables, launcher.local_rank);
    if (local_rank < 0) local_rank = std::max(0, number_of(variables, "SLURM_LOCALID"));
    return {launcher.mpi, rank, std::max(0, number_of(variables, launcher.size)), local_rank,
            std::max(0, number_of(variables, launcher.local_size))};
  }
  return {};
}

void require_world(const Launch& launch, int world) {
  if (launch.size <= 1 || world != 1) return;
  throw SingletonError(fmt::format(
      "the launcher started {} ranks, but MPI knows of 1, so each of them would train alone: use the mpirun "
      "of the MPI that this program was built with, or srun --mpi=pmix (srun --mpi=list shows what Slurm "
      "has)",
      launch.size));
}

}  // namespace trainer
