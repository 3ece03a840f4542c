// Which words start several ranks, and what their end means.
#include <csignal>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.hpp"
#include "tests/support/words.hpp"
#include "trainer/ranks/launch.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {
namespace {

std::string words_of(int ranks, const LauncherSurroundings& surroundings) {
  return fmt::format(
      "{}", fmt::join(launcher_words({ranks, "/bin/trainer", {"train", "--seed", "1"}}, surroundings), " "));
}

TEST(LaunchRanks, OpenMpiNeedsWordsForWhatItWouldRefuse) {
  LauncherSurroundings surroundings{.cpus = 8};
  EXPECT_EQ(words_of(4, surroundings), "mpirun -n 4 /bin/trainer train --seed 1");
  EXPECT_EQ(words_of(5, surroundings), "mpirun --oversubscribe -n 5 /bin/trainer train --seed 1");
  EXPECT_EQ(
      words_of(9, surroundings),
      "mpirun --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n 9 /bin/trainer train --seed 1");
  surroundings.is_root = true;
  EXPECT_EQ(words_of(2, surroundings), "mpirun --allow-run-as-root -n 2 /bin/trainer train --seed 1");
}

TEST(LaunchRanks, MpichNeedsNone) {
  EXPECT_EQ(words_of(9, {.mpi = MpiKind::mpich, .program = "mpiexec.mpich", .cpus = 2, .is_root = true}),
            "mpiexec.mpich -n 9 /bin/trainer train --seed 1");
}

TEST(LaunchRanks, AKilledRankIsALostOne) {
  EXPECT_EQ(status_of_ranks(0, 0), 0);
  EXPECT_EQ(status_of_ranks(1, 0), 1);
  EXPECT_EQ(status_of_ranks(20, 0), 20);
  EXPECT_EQ(status_of_ranks(128 + SIGKILL, 0), kRankLostStatus);
  EXPECT_EQ(status_of_ranks(SIGKILL, 0), kRankLostStatus);
  EXPECT_EQ(status_of_ranks(SIGABRT, 0), kRankLostStatus);
  EXPECT_EQ(status_of_ranks(128 + SIGTERM, SIGINT), 128 + SIGINT);
  EXPECT_EQ(status_of_ranks(128 + SIGTERM, 0), 128 + SIGTERM);
}

TEST(OpenRanks, IsNothingWithoutALauncher) {
  EXPECT_EQ(open_ranks({.launch = {}, .executable = "/none/trainer"}), nullptr);
}

TEST(OpenRanks, RefusesTasksThatNoMpiConnects) {
  EXPECT_THROW((void)open_ranks(
                   {.launch = {.mpi = MpiKind::none, .rank = 1, .size = 4}, .executable = "/none/trainer"}),
               SingletonError);
}

void expect_refusal(const RanksCall& call, const std::vector<std::string>& words) {
  try {
    (void)open_ranks(call);
    FAIL() << "there is no plugin";
  } catch (const UsageError& error) {
    expect_words(error.what(), words);
  }
}

TEST(OpenRanks, NamesThePluginThatIsMissingAndItsPackage) {
  expect_refusal({.launch = {.mpi = MpiKind::open_mpi, .rank = 3, .size = 4}, .executable = "/none/trainer"},
                 {"Open MPI", "rank 3", "libmnist-trainer-openmpi.so", "/none", "libopenmpi-dev"});
  expect_refusal({.launch = {.mpi = MpiKind::mpich, .rank = 3, .size = 4}, .executable = "/none/trainer"},
                 {"MPICH", "libmnist-trainer-mpich.so", "libmpich-dev"});
}

TEST(OpenRanks, NamesWhatAPluginLacks) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "libmnist-trainer-mpich.so") << "not a library";
  expect_refusal({.launch = {.mpi = MpiKind::mpich, .size = 4}, .executable = folder / "trainer"},
                 {"cannot open", "libmnist-trainer-mpich.so", "install mpich"});
}

}  // namespace
}  // namespace trainer
