// sprint-lean and sprint trained whole with portable bits, as a user does, against the digests that the program knows.
#include "kernels/portable/known_digests.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

using WholeDigests = ProgramTest;

TEST_F(WholeDigests, AreMet) {
  for (const KnownDigest& row : known_digests()) {
    if (row.steps > 0) continue;
    const std::string name(row.network);
    const Outcome outcome = trainer({"train", "--model", name, "--seed", std::to_string(row.seed), "--bits",
                                     "portable", "--data", TRAINER_SOURCE_DIR "/data/mnist", "--no-save"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_PRED2(contains, outcome.out, "digest        " + std::string(row.digest))
        << name << " with seed " << row.seed;
  }
}

}  // namespace
}  // namespace trainer::test
