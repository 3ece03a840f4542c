// What launchers' environments mean, as tables of variables.
#include "trainer/ranks/launch.hpp"

#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>

#include "tests/support/words.hpp"
#include "trainer/ranks/places.hpp"

namespace trainer {
namespace {

using Table = std::map<std::string, std::string>;

Launch launch_of(const Table& table) {
  return find_launch([&table](const char* name) {
    const auto found = table.find(name);
    return found == table.end() ? nullptr : found->second.c_str();
  });
}

const Table kOpenMpi{{"OMPI_COMM_WORLD_RANK", "5"},
                     {"OMPI_COMM_WORLD_SIZE", "8"},
                     {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                     {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                     {"PMIX_RANK", "5"}};
const Table kHydra{{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}};
const Table kMvapich{{"MV2_COMM_WORLD_RANK", "3"},
                     {"MV2_COMM_WORLD_SIZE", "4"},
                     {"MV2_COMM_WORLD_LOCAL_RANK", "1"},
                     {"MV2_COMM_WORLD_LOCAL_SIZE", "2"}};
const Table kStep{
    {"SLURM_PROCID", "6"}, {"SLURM_STEP_NUM_TASKS", "7"}, {"SLURM_LOCALID", "2"}, {"SLURM_NTASKS", "7"}};

Table both(Table first, const Table& second) {
  first.insert(second.begin(), second.end());
  return first;
}

TEST(Launch, SaysWhatEachLauncherSays) {
  struct Row {
    Table table;
    MpiKind mpi;
    int rank;
    int size;
    int local_rank;
    int local_size;
  };
  const std::vector<Row> rows{
      {{}, MpiKind::none, 0, 0, 0, 0},
      {kOpenMpi, MpiKind::open_mpi, 5, 8, 1, 4},
      {kHydra, MpiKind::mpich, 2, 3, 1, 2},
      {kMvapich, MpiKind::mpich, 3, 4, 1, 2},
      {both(kOpenMpi, kStep), MpiKind::open_mpi, 5, 8, 1, 4},  // mpirun inside a Slurm job
      {both(kHydra, kStep), MpiKind::mpich, 2, 3, 1, 2},
      {both(kHydra, kOpenMpi), MpiKind::open_mpi, 5, 8, 1, 4},
      {both({{"PMIX_RANK", "6"}}, kStep), MpiKind::open_mpi, 6, 7, 2, 0},                 // srun --mpi=pmix
      {both({{"PMI_RANK", "6"}, {"PMI_SIZE", "7"}}, kStep), MpiKind::mpich, 6, 7, 2, 0},  // srun --mpi=pmi2
      {{{"PMIX_RANK", "1"}}, MpiKind::open_mpi, 1, 0, 0, 0},
      {kStep, MpiKind::none, 6, 7, 2, 0},                                           // srun --mpi=none
      {{{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "7"}}, MpiKind::none, 0, 0, 0, 0},  // the shell of sbatch
      {{{"OMPI_COMM_WORLD_RANK", "one"}, {"PMI_RANK", ""}}, MpiKind::none, 0, 0, 0, 0}};  // not a launcher's
  for (const Row& row : rows) {
    const Launch launch = launch_of(row.table);
    EXPECT_EQ(launch.mpi, row.mpi);
    EXPECT_EQ(launch.rank, row.rank);
    EXPECT_EQ(launch.size, row.size);
    EXPECT_EQ(launch.local_rank, row.local_rank);
    EXPECT_EQ(launch.local_size, row.local_size);
  }
}

TEST(Launch, RefusesSingletons) {
  EXPECT_NO_THROW(require_world(launch_of({}), 1));
  EXPECT_NO_THROW(require_world(launch_of(kHydra), 3));
  EXPECT_NO_THROW(require_world({.mpi = MpiKind::open_mpi, .size = 1}, 1));
  EXPECT_THROW(require_world(launch_of(kOpenMpi), 1), SingletonError);
  try {
    require_world(launch_of(kStep), 1);
    FAIL() << "srun's seven tasks would train alone";
  } catch (const SingletonError& error) {
    expect_words(error.what(), {"7 ranks", "1", "srun --mpi=pmix"});
  }
}

// As a rank may have sent it: without a zero at its end.
TEST(Places, ANameEndsWithItsField) {
  Place place;
  place.host.fill('x');
  place.processes.fill('y');
  EXPECT_EQ(Places({place}, 0).name(0), "rank 0 (host " + std::string(63, 'x') + ", pid 0)");
}

}  // namespace
}  // namespace trainer
