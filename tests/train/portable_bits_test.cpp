// --bits portable as a user meets it: the digest that is printed and kept, whatever the number of threads and wherever a run was
// broken off.
#include "tests/support/program.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer::test {
namespace {

class PortableBits : public ProgramTest {
 protected:
  PortableBits() { write_network({.rate = "0.05", .length = "epochs: 2", .dropout_and_batchnorm = true}); }

  Outcome train(const std::string& run, const Words& more) const {
    Words words{"train", "--model", "small.yaml", "--data", "data", "--bits", "portable", "--out", run};
    words.insert(words.end(), more.begin(), more.end());
    return trainer(words);
  }
  std::string digest(const std::string& run) const {
    return record(run).results.value("digest", std::string());
  }
  // What docs/weights.md says of the digest: the SHA-256 of all that follows the header.
  std::string digest_of_file(const std::string& run) const {
    const std::string bytes = read_text(folder_ / run / "model.safetensors");
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    const std::span<const char> values(bytes.begin() + static_cast<std::ptrdiff_t>(8 + header), bytes.end());
    return sha256_hex(std::as_bytes(values));
  }
};

TEST_F(PortableBits, AnyNumberOfThreadsEndsWithTheDigestThatIsPrinted) {
  const Outcome outcome = train("one", {"--threads", "1"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string expected = digest("one");
  EXPECT_EQ(expected.size(), 64U);
  EXPECT_PRED2(contains, outcome.out, "\ndigest        " + expected + "\n");
  EXPECT_PRED2(contains, outcome.out, "with portable bits");
  EXPECT_EQ(digest_of_file("one"), expected);
  for (const char* threads : {"2", "5"}) {
    ASSERT_EQ(train(threads, {"--threads", threads}).code, 0);
    EXPECT_EQ(digest(threads), expected) << threads << " threads";
  }
  ASSERT_EQ(train("other", {"--seed", "2"}).code, 0);
  EXPECT_NE(digest("other"), expected);
}

TEST_F(PortableBits, TheDigestOfARunThatAveragesItsWeightsIsThatOfItsModel) {
  write_network({.rate = "0.05", .dropout_and_batchnorm = true, .more_recipe = "  weights: ema\n"});
  ASSERT_EQ(train("whole", {"--threads", "1"}).code, 0);
  EXPECT_EQ(digest_of_file("whole"), digest("whole"));
  ASSERT_EQ(train("run", {"--threads", "2", "--max-steps", "9"}).code, 0);
  ASSERT_EQ(trainer({"train", "--resume", "run", "--threads", "3"}).code, 0);
  EXPECT_EQ(digest("run"), digest("whole"));
}

TEST_F(PortableBits, AFastRunHasNoDigest) {
  const Outcome outcome = trainer(small_training({"--out", "run"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_FALSE(contains(outcome.out, "digest"));
  EXPECT_FALSE(record("run").results.contains("digest"));
}

TEST_F(PortableBits, AResumedRunKeepsItsBitsAndItsDigestsOfSteps) {
  ASSERT_EQ(train("whole", {"--epochs", "4", "--digest-every", "5"}).code, 0);
  ASSERT_EQ(train("run", {"--digest-every", "5", "--threads", "1"}).code, 0);
  RunRecord begun = record("run");
  begun.results["digests_by_step"].push_back({{"step", 99}, {"digest", "of a step after the checkpoint"}});
  write_run_record(folder_ / "run/run.json", begun);
  const Outcome more =
      trainer({"train", "--resume", "run", "--epochs", "4", "--threads", "3", "--digest-every", "5"});
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_EQ(more.err, "") << "other threads change no bits";
  EXPECT_EQ(digest("run"), digest("whole"));
  const Json steps = record("run").results["digests_by_step"];
  EXPECT_EQ(steps, record("whole").results["digests_by_step"]);
  ASSERT_EQ(steps.size(), 10U) << "52 steps";
  EXPECT_EQ(steps[9]["step"], 50);
  EXPECT_NE(steps[8]["digest"], steps[9]["digest"]);
}

TEST_F(PortableBits, AnEvaluationUsesTheBitsOfTheTraining) {
  ASSERT_EQ(train("run", {"--threads", "2"}).code, 0);
  const Outcome one = trainer({"eval", "run", "--threads", "1", "--json"});
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(one.out, trainer({"eval", "run", "--threads", "3", "--json"}).out);
  EXPECT_EQ(Json::parse(one.out)["loss"],
            Json::parse(trainer({"eval", "run", "--bits", "portable", "--json"}).out)["loss"]);
  EXPECT_EQ(trainer({"eval", "run", "--bits", "fast"}).code, 0);
}

TEST_F(PortableBits, ASprintHasADigestASeed) {
  const Outcome outcome = trainer({"sprint", "--model", "small.yaml", "--data", "data", "--seeds", "2",
                                   "--bits", "portable", "--no-process", "--out", "run"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json seeds = record("run").results["sprint"]["seeds"];
  ASSERT_EQ(seeds.size(), 2U);
  for (const Json& seed : seeds)
    EXPECT_PRED2(contains, outcome.out, "digest " + seed.value("digest", std::string("none")) + "\n");
  ASSERT_EQ(train("alone", {"--epochs", "1", "--seed", "2"}).code, 0);
  EXPECT_EQ(digest("alone"), seeds[1]["digest"]);
}

TEST_F(PortableBits, WhatCannotBePortableIsRefused) {
  for (const Words& words :
       {Words{"--bits", "wide"}, Words{"--bits", "portable", "--precision", "bf16"},
        Words{"--bits", "portable", "--engine", "libraries"},
        Words{"--bits", "portable", "--nondeterministic"}, Words{"--digest-every", "3"}}) {
    const Outcome outcome = trainer(small_training(words));
    expect_one_line(outcome, 2);
    EXPECT_FALSE(fs::exists(folder_ / "runs")) << words.back();
  }
  ASSERT_EQ(train("run", {}).code, 0);
  EXPECT_PRED2(contains, trainer({"train", "--resume", "run", "--bits", "fast"}).err,
               "--bits cannot be combined with --resume");
}

}  // namespace
}  // namespace trainer::test
