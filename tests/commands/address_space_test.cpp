// The program under a limit of its address space, as batch systems set one: it works, or it refuses in one line and with status 1.
// AddressSanitizer reserves terabytes, so these are skipped under it.
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class AddressSpace : public ProgramTest {
 protected:
  void SetUp() override {
    if (shell("ulimit -v 1000000; \"$T\" --version").code != 0)
      GTEST_SKIP() << "this build does not start in 1 GB of address space";
  }

  Outcome limited(int mebibytes, const std::string& words) const {
    return shell(fmt::format("ulimit -v {}; exec \"$T\" {}", mebibytes * 1024, words));
  }

  static constexpr const char* kTrain = "train --model quick --limit-train 512 --epochs 1 --no-save --quiet ";
};

TEST_F(AddressSpace, TooLittleIsRefusedWithBothFigures) {
  const Outcome outcome = limited(140, std::string(kTrain) + "--threads 1");
  expect_one_line(outcome, 1);
  EXPECT_PRED2(contains, outcome.err, " MiB of address space, and the limit is 140 MiB");
  const Outcome batch = limited(1000, std::string(kTrain) + "--threads 1 --batch 16384");
  expect_one_line(batch, 1);
  EXPECT_PRED2(contains, batch.err, "'quick' with 1 thread needs");
}

TEST_F(AddressSpace, AThreadThatCannotBeStartedIsRefusedWithTheLimit) {
  for (const char* words : {"doctor", "sprint --seeds 1", "bench --quick"}) {
    const Outcome outcome = limited(64, words);
    expect_one_line(outcome, 1);
    EXPECT_PRED2(contains, outcome.err, "the limit is 64 MiB: raise it (ulimit -v)");
  }
}

TEST_F(AddressSpace, NoLimitMakesItCrash) {
  ASSERT_EQ(
      trainer({"train", "--threads", "1", "--model", "small.yaml", "--data", "data", "--out", "run"}).code,
      0);
  const std::vector<std::pair<std::string, int>> commands{
      {std::string(kTrain) + "--threads 1", 500},
      {std::string(kTrain) + "--threads 2 --precision fp32", 500},
      {"eval run --data data --threads 1", 400},
      {"models", 100},
      {"--version", 100}};
  for (const auto& [words, enough] : commands) {
    for (int mebibytes = 100; mebibytes <= 500; mebibytes += 25) {
      const Outcome outcome = limited(mebibytes, words);
      EXPECT_EQ(outcome.signal, 0) << mebibytes << " " << words;
      EXPECT_LE(outcome.code, 1) << mebibytes << " " << words << ": " << outcome.err;
      EXPECT_EQ(contains(outcome.err, "error: "), outcome.code == 1) << outcome.err;
      EXPECT_TRUE(mebibytes < enough || outcome.code == 0) << mebibytes << " " << words << outcome.err;
    }
  }
}

}  // namespace
}  // namespace trainer::test
