// OpenMP's environment variables, which the user's shell or a cluster may set, must never change a result or
// make a training wait for ever.
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

// Threads that wait spin for a moment only: what a busy machine takes most of its time from otherwise. OpenMP
// reads its variables before main, so the program must have been started again with this one.
TEST_F(OpenMpEnvironment, SpinsShortlyWhereTheUserDoesNotSay) {
  Words words{"/usr/bin/env", "-u", "OMP_WAIT_POLICY"};  // which the tests set
  for (const std::string& word : command(small_training({"--no-save", "--epochs", "100000"})))
    words.push_back(word);
  const ChildProcess child(words, options());
  const fs::path variables = fs::path("/proc") / std::to_string(child.pid()) / "environ";
  EXPECT_TRUE(wait_until([&] { return contains(read_text(variables), "GOMP_SPINCOUNT=1000"); }));
}

}  // namespace
}  // namespace trainer::test
