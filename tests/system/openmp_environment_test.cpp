// OpenMP's environment variables, which the user's shell or a cluster may set and oneDNN's library reads, must never change a result
// or make a training wait for ever.
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

using OpenMpEnvironment = ProgramTest;

TEST_F(OpenMpEnvironment, NeverChangesTheTrainingOrStopsIt) {
  const auto accuracy = [&](const Words& environment) {
    Words words = small_training({"--json", "--no-save", "--threads", "2"});
    const Outcome outcome = trainer(words, environment);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const std::vector<Json> lines = json_lines(outcome.out);
    return lines.empty() ? Json() : lines.back()["test"]["loss"];
  };
  const Json plain = accuracy({});
  EXPECT_EQ(accuracy({"OMP_DYNAMIC=true"}), plain);
  EXPECT_EQ(accuracy({"OMP_WAIT_POLICY=passive"}), plain);
  EXPECT_EQ(accuracy({"OMP_NUM_THREADS=7"}), plain);
  EXPECT_EQ(accuracy({"GOMP_SPINCOUNT=0"}), plain);
  EXPECT_EQ(trainer(small_training({"--no-save", "--threads", "2"}), {"OMP_THREAD_LIMIT=1"}).code, 0);
  EXPECT_EQ(accuracy({"OMP_MAX_ACTIVE_LEVELS=0"}), plain);
}

}  // namespace
}  // namespace trainer::test
