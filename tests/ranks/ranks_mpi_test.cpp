// Ranks under a real mpirun, of each MPI that is here: what they exchange, and how they end when one of them is killed, is frozen,
// or never joins.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>

#include "tests/support/child_process.hpp"
#include "tests/support/words.hpp"
#include "trainer/ranks/launch.hpp"

namespace trainer {
namespace {

using test::ChildProcess;
using test::Outcome;

class RanksUnderMpi : public testing::TestWithParam<MpiKind> {
 protected:
  void SetUp() override {
    program_ = GetParam() == MpiKind::open_mpi ? "/usr/bin/mpirun.openmpi" : "/usr/bin/mpiexec.mpich";
    if (access(program_.c_str(), X_OK) != 0) GTEST_SKIP() << program_ << " is not installed";
    if (find_plugin(GetParam(), RANKS_PROGRAM).empty()) GTEST_SKIP() << "the plugin was not built";
  }

  bool is_open_mpi() const { return GetParam() == MpiKind::open_mpi; }

  std::unique_ptr<ChildProcess> start(int ranks, const std::vector<std::string>& arguments) {
    const LauncherSurroundings surroundings{GetParam(), program_, 1, geteuid() == 0};
    return std::make_unique<ChildProcess>(
        launcher_words({ranks, RANKS_PROGRAM, arguments}, surroundings),
        test::ChildOptions{{"RANKS_STATUSES=" + (folder_ / "statuses").string()}, ""});
  }

  std::string statuses() const { return test::read_text(folder_ / "statuses"); }

  test::TemporaryFolder folder_;
  std::string program_;
};

// Waits until a line of its output begins with `text`, and returns the number behind it; 0 if the program has ended.
int number_behind(ChildProcess& job, const std::string& text) {
  while (!job.ended()) {
    const std::string output = job.output_so_far();
    const std::size_t at = output.find(text);
    if (at != std::string::npos && output.find('\n', at) != std::string::npos)
      return std::stoi(output.substr(at + text.size()));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return 0;
}

// A job of steps in which this rank has got the signal; returns the rank's process number.
int signal_rank(ChildProcess& job, int ranks, int rank, int signal) {
  int chosen = 0;
  for (int r = 0; r < ranks; ++r) {
    const int pid = number_behind(job, fmt::format("rank {} pid ", r));
    EXPECT_GT(pid, 0);
    if (r == rank) chosen = pid;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  if (chosen > 0) kill(chosen, signal);
  return chosen;
}

TEST_P(RanksUnderMpi, Exchange) {
  for (int ranks = 1; ranks <= 4; ++ranks) {
    const Outcome outcome = start(ranks, {"exchange"})->wait();
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    for (int r = 0; r < ranks; ++r) expect_words(outcome.out, {fmt::format("rank {} of {}: ok\n", r, ranks)});
  }
}

TEST_P(RanksUnderMpi, EndWhenOneIsKilled) {
  for (const int rank : {0, 2}) {
    const auto job = start(3, {"steps", "2"});
    const int pid = signal_rank(*job, 3, rank, SIGKILL);
    const Outcome outcome = job->wait();
    EXPECT_EQ(status_of_ranks(outcome.code, 0), kRankLostStatus) << outcome.err;
    if (!is_open_mpi()) continue;  // MPICH's mpiexec kills all others at once, and names the process
    const std::string line = fmt::format("error: rank {} (host ", rank);
    expect_words(outcome.err, {line, fmt::format("pid {}) has ended before step ", pid)});
    EXPECT_EQ(outcome.err.find("error: "), outcome.err.rfind("error: rank")) << outcome.err;
    EXPECT_NE(statuses().find(fmt::format("rank {} status 20", rank == 0 ? 1 : 0)), std::string::npos);
  }
}

// What happened is said however long the ranks take to end, and whatever the one that wakes does meanwhile.
TEST_P(RanksUnderMpi, EndWhenOneIsFrozen) {
  for (const int rank : {0, 2}) {
    const auto job = start(3, {"steps", "2", "slow"});
    const int pid = signal_rank(*job, 3, rank, SIGSTOP);
    const Outcome outcome = job->wait();
    EXPECT_EQ(status_of_ranks(outcome.code, 0), kRankLostStatus) << outcome.err;
    const std::string line = fmt::format("error: rank {} (host ", rank);
    expect_words(outcome.err,
                 {line, fmt::format("pid {}) has not reached step ", pid), " within 2 s (--rank-timeout)\n"});
    // Nor does the one that wakes say that the others have ended.
    EXPECT_EQ(outcome.err.find("error: "), outcome.err.rfind("error: rank")) << outcome.err;
  }
}

TEST_P(RanksUnderMpi, EndWhenOneDoesNotJoin) {
  for (const char* rank : {"0", "1"}) {
    const Outcome outcome = start(3, {"absent", rank, "2"})->wait();
    EXPECT_EQ(status_of_ranks(outcome.code, 0), kRankLostStatus) << outcome.err;
    expect_words(outcome.err, {"error: MPI has not started within 2 s: of the 3 ranks of host ",
                               fmt::format("these have not joined: {}\n", rank)});
  }
}

TEST_P(RanksUnderMpi, RefuseToBeSingletons) {
  std::vector<std::string> environment{"OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=4"};
  if (!is_open_mpi()) environment = {"PMI_RANK=1", "PMI_SIZE=4"};
  const Outcome outcome = ChildProcess({RANKS_PROGRAM, "exchange"}, {environment, ""}).wait();
  EXPECT_EQ(outcome.code, kSingletonStatus) << outcome.err;
  expect_words(outcome.err, {"error: the launcher started 4 ranks, but MPI knows of 1"});
}

INSTANTIATE_TEST_SUITE_P(Mpi, RanksUnderMpi, testing::Values(MpiKind::open_mpi, MpiKind::mpich),
                         [](const auto& info) {
                           return info.param == MpiKind::open_mpi ? "OpenMpi" : "Mpich";
                         });

class LaunchedRanks : public testing::Test {
 protected:
  void SetUp() override {
    if (find_plugin(MpiKind::open_mpi, RANKS_PROGRAM).empty() &&
        find_plugin(MpiKind::mpich, RANKS_PROGRAM).empty())
      GTEST_SKIP() << "no plugin was built";
  }
};

TEST_F(LaunchedRanks, EndWithTheirStatus) {
  const Outcome outcome = ChildProcess({RANKS_PROGRAM, "launch", "3", "exchange"}).wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  expect_words(outcome.err, {"starting 3 ranks: mpi", " -n 3 ", "ranks_mpi_program exchange\n"});
  expect_words(outcome.out, {"rank 0 of 3: ok", "rank 1 of 3: ok", "rank 2 of 3: ok"});
}

TEST_F(LaunchedRanks, StopOnRequest) {
  for (const int signal : {SIGTERM, SIGINT}) {
    ChildProcess job({RANKS_PROGRAM, "launch", "2", "steps", "20"});
    EXPECT_GT(number_behind(job, "rank 0 pid ") * number_behind(job, "rank 1 pid "), 0);
    job.send(signal);
    EXPECT_EQ(job.wait().code, 128 + signal);
  }
}

TEST_F(LaunchedRanks, EndWhenTheirStarterIsKilled) {
  ChildProcess job({RANKS_PROGRAM, "launch", "2", "steps", "60"});
  const std::vector<int> pids{number_behind(job, "rank 0 pid "), number_behind(job, "rank 1 pid ")};
  job.send(SIGKILL);
  const auto runs = [](int pid) {  // a process that has ended, but that nobody has waited for, has no program
    return access(fmt::format("/proc/{}/exe", pid).c_str(), F_OK) == 0;
  };
  for (int tick = 0; tick < 500 && std::ranges::any_of(pids, runs); ++tick)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (const int pid : pids) {
    EXPECT_FALSE(runs(pid));
    if (runs(pid)) kill(pid, SIGKILL);
  }
}

TEST_F(LaunchedRanks, EndAtOnceOnTheSecondRequest) {
  ChildProcess job({RANKS_PROGRAM, "launch", "2", "absent", "0", "50"});
  while (job.output_so_far().empty() && !job.ended())
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  job.send(SIGTERM);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  job.send(SIGTERM);
  EXPECT_NE(job.wait().code, 0);
}

}  // namespace
}  // namespace trainer
