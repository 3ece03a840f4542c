// Trainings that go on from what is there: a finished run over more epochs, a new run from given weights, a run whose data was
// moved; and the totals that a run of few images shows.
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

using GoingOn = ProgramTest;

TEST_F(GoingOn, AFinishedRunOverMoreEpochsEqualsAnUnbrokenOne) {
  ASSERT_EQ(trainer(small_training({"--epochs", "2", "--out", "run"})).code, 0);
  const Outcome more = trainer({"train", "--resume", "run", "--epochs", "5", "--threads", "1"});
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_PRED2(contains, more.out, "recomputed over all 5 epochs");
  EXPECT_PRED2(contains, more.out, "epoch 5/5");
  ASSERT_EQ(trainer(small_training({"--epochs", "5", "--out", "whole"})).code, 0);
  expect_same_tensors(folder_ / "run/model.safetensors", folder_ / "whole/model.safetensors");
  EXPECT_EQ(metrics("run").size(), 5U);
  const RunRecord record = this->record("run");
  EXPECT_EQ(record.status, RunStatus::kFinished);
  EXPECT_EQ(record.recipe["settings"]["epochs"], 5);
  ASSERT_EQ(record.resumed.size(), 1U);
  EXPECT_EQ(record.resumed[0].command[4], "--epochs");
}

TEST_F(GoingOn, AScheduleThatHadEndedAtZeroIsSaid) {
  write_network({.more_recipe = "  schedule: {cosine: {end: 0}}\n"});
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  const Outcome more = trainer({"train", "--resume", "run", "--epochs", "4", "--threads", "1"});
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_PRED2(contains, more.err, "nearly 0");
  EXPECT_PRED2(contains, more.err, "continues at 0.01");
  EXPECT_LT(metrics("run").back()["learning_rate"], 0.001) << "at the end of the new schedule";
}

TEST_F(GoingOn, AnEvaluationWithinAnEpochGivesWayToTheWholeEpochs) {
  write_network({.length = "steps: 20", .last_batch = "wrap"});  // 1.6 epochs of 200
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  EXPECT_EQ(metrics("run").size(), 2U);
  const Outcome more = trainer({"train", "--resume", "run", "--epochs", "4", "--threads", "1"});
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_PRED2(contains, more.out, "epoch 4/4");
  ASSERT_EQ(metrics("run").size(), 4U);
  EXPECT_EQ(metrics("run")[1]["step"], 25);
}

TEST_F(GoingOn, FewerEpochsThanDoneAreRefused) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  const std::string before = read_text(folder_ / "run/model.safetensors");
  for (const char* epochs : {"1", "2"}) {
    const Outcome outcome = trainer({"train", "--resume", "run", "--epochs", epochs, "--threads", "1"});
    expect_one_line(outcome, 2);
    EXPECT_PRED2(contains, outcome.err, "has done 26 already");
  }
  EXPECT_EQ(read_text(folder_ / "run/model.safetensors"), before);
  EXPECT_PRED2(contains, trainer({"train", "--resume", "run", "--threads", "1"}).out,
               "--epochs N trains it further");
}

TEST_F(GoingOn, ARunFromGivenWeightsBeginsWithThemAndRecordsThem) {
  ASSERT_EQ(trainer(small_training({"--epochs", "6", "--out", "first"})).code, 0);
  const Outcome second = trainer({"train", "--from", "first", "--data", "data", "--threads", "1", "--epochs",
                                  "2", "--lr", "1e-30", "--out", "second"});
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_PRED2(contains, second.out, "weights of " + at("first/model.safetensors"));
  expect_same_tensors(folder_ / "first/model.safetensors", folder_ / "second/model.safetensors");
  const Json settings = record("second").recipe["settings"];
  EXPECT_EQ(settings["from"], at("first/model.safetensors"));
  EXPECT_EQ(settings["from_sha256"],
            SafetensorsFile::read(folder_ / "first/model.safetensors").text("content_sha256"));
  fs::remove_all(folder_ / "first");
  const Outcome resumed = trainer({"train", "--resume", "second", "--epochs", "3", "--threads", "1"});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(record("second").recipe["settings"], [&] {
    Json changed = settings;
    changed["epochs"] = 3;
    return changed;
  }());
}

TEST_F(GoingOn, ShapesThatDifferAreNamedAndANewHeadKeepsTheRest) {
  ASSERT_EQ(trainer(small_training({"--out", "first"})).code, 0);
  const Words wider =
      small_training({"--classes", "7", "--from", "first", "--lr", "1e-30", "--out", "second"});
  const Outcome refused = trainer(wider);
  expect_one_line(refused, 1);
  for (const char* part :
       {"'dense2.weight' is [4, 16], not [7, 16]", "'dense2.bias' is [4], not [7]", "--new-head"})
    EXPECT_PRED2(contains, refused.err, part);
  EXPECT_FALSE(fs::exists(folder_ / "second")) << "refused before a folder is made";
  Words with_head = wider;
  with_head.emplace_back("--new-head");
  const Outcome taken = trainer(with_head);
  ASSERT_EQ(taken.code, 0) << taken.err;
  const SafetensorsFile a = SafetensorsFile::read(folder_ / "first/model.safetensors");
  const SafetensorsFile b = SafetensorsFile::read(folder_ / "second/model.safetensors");
  const std::vector<std::uint64_t> shape{4, 3, 3, 1};
  EXPECT_TRUE(std::ranges::equal(a.require("conv1.weight", shape), b.require("conv1.weight", shape)));
  EXPECT_EQ(record("second").recipe["settings"]["new_head"], true);
  write_network({.layers = "  - dense: {out: 16}\n  - relu\n"});
  const Outcome other = trainer(small_training({"--from", "first", "--no-save"}));
  EXPECT_EQ(other.code, 1);
  EXPECT_EQ(other.err.find("--new-head"), std::string::npos)
      << "which leaves other layers too: " << other.err;
  EXPECT_PRED2(contains, other.err, "'conv1.weight' is not in the network");
}

TEST_F(GoingOn, ConflictingOptionsNameTheChoices) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  for (const Words& words : {Words{"train", "--resume", "run", "--from", "run"},
                             Words{"train", "--resume", "run", "--lr", "1"}, Words{"train", "--new-head"}}) {
    const Outcome outcome = trainer(words);
    expect_one_line(outcome, 2);
    EXPECT_PRED2(contains, outcome.err, "--from RUN");
  }
}

TEST_F(GoingOn, ARunWhoseDataWasMovedSaysWhereItWas) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  fs::rename(folder_ / "data", folder_ / "elsewhere");
  const Outcome refused = trainer({"train", "--resume", "run", "--epochs", "3", "--threads", "1"});
  expect_one_line(refused, 2);
  EXPECT_PRED2(contains, refused.err, "then in " + at("data"));
  EXPECT_PRED2(contains, refused.err, "--data");
  EXPECT_EQ(
      trainer({"train", "--resume", "run", "--epochs", "3", "--data", "elsewhere", "--threads", "1"}).code,
      0);
}

TEST_F(GoingOn, TotalsOfFewImagesAgree) {
  write_small_data(folder_, {.train = 3, .test = 4});
  for (const auto& [last_batch, length] : {std::pair{"wrap", "steps: 500"}, std::pair{"mask", "epochs: 9"}}) {
    write_network({.batch = 64, .length = length, .last_batch = last_batch});
    for (const std::string epochs : {"1", "50"}) {
      const Outcome outcome =
          trainer(small_training({"--epochs", epochs, "--classes", "4", "--out", last_batch + epochs}));
      ASSERT_EQ(outcome.code, 0) << outcome.err;
      const std::size_t total = metrics(last_batch + epochs).size();
      EXPECT_PRED2(contains, outcome.out, fmt::format("{} {} of 3", total, total == 1 ? "epoch" : "epochs"));
      EXPECT_PRED2(contains, outcome.out, fmt::format("epoch {0}/{0} ", total));
      EXPECT_EQ(record(last_batch + epochs).results["epochs"], total);
    }
  }
}

TEST_F(GoingOn, AnEpochOfWrappedBatchesIsOneEpoch) {
  write_network({.length = "steps: 500", .last_batch = "wrap"});  // 200 images in batches of 16: 12.5 steps
  const Outcome outcome = trainer(small_training({"--epochs", "1", "--no-save"}));
  EXPECT_PRED2(contains, outcome.out, "1 epoch of 200");
  EXPECT_PRED2(contains, outcome.out, "epoch 1/1 ");
}

}  // namespace
}  // namespace trainer::test
