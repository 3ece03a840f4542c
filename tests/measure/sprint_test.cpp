// trainer sprint: what it says of the seeds, and that nothing in it is a trick.
#include "trainer/measure/sprint.hpp"

#include <algorithm>
#include <random>
#include <set>

#include "data/dataset.hpp"
#include "tests/data/idx_files.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

SprintReport report(const std::vector<double>& accuracies, double target) {
  SprintReport r;
  r.images = 32000;
  r.target = target;
  for (std::size_t i = 0; i < accuracies.size(); ++i) {
    SprintSeed seed;
    seed.seed = i + 1;
    seed.test = {10000, 0.2, accuracies[i] / 100};
    seed.seconds = i == 0 ? 0.5 : 0.25;
    r.seeds.push_back(seed);
  }
  return r;
}

TEST(SprintSummary, SaysMeanErrorSpreadAndLeavesTheColdSeedOut) {
  const SprintReport r = report({99.1, 98.9, 99.0, 99.2}, 99);
  const SprintSummary s = summarize(r.seeds, r.images);
  EXPECT_NEAR(s.mean, 99.05, 1e-9);
  EXPECT_NEAR(s.deviation, 0.129099, 1e-5);
  EXPECT_NEAR(s.standard_error, 0.064550, 1e-5);
  EXPECT_NEAR(s.least, 98.9, 1e-9);
  EXPECT_NEAR(s.most, 99.2, 1e-9);
  EXPECT_EQ(s.cold, 0.5);
  EXPECT_EQ(s.seconds.median, 0.25);
  EXPECT_EQ(s.seconds.most, 0.25);
  EXPECT_NEAR(s.images_per_second, 42000 / 0.25, 1e-6);
}

TEST(SprintSummary, OneSeedHasTheErrorOfItsTestImages) {
  const SprintReport r = report({99}, 99);
  const SprintSummary s = summarize(r.seeds, r.images);
  EXPECT_NEAR(s.standard_error, 0.0995, 1e-4);
  EXPECT_EQ(s.seconds.median, 0.5);
}

TEST(SprintNetwork, IsTheFastestOneThatReachesTheTarget) {
  for (const bool on_gpu : {false, true}) {
    EXPECT_STREQ(sprint_network(98, on_gpu, 1), on_gpu ? "sprint" : "sprint-lean");
    EXPECT_STREQ(sprint_network(99, on_gpu, 1), on_gpu ? "sprint" : "sprint-lean");
    EXPECT_STREQ(sprint_network(99, on_gpu, 5), on_gpu ? "sprint" : "sprint-lean-views");
    for (const double target : {99.01, 99.5, 99.9})
      EXPECT_STREQ(sprint_network(target, on_gpu, 1), "sprint-995");
  }
}

TEST(SprintVerdict, SaysWhetherTheTargetIsReachedAndBeyondItsError) {
  EXPECT_EQ(verdict_text(report({99.1, 99.1, 99.1}, 99)), "99.10 +- 0.00 %: 99 % reached");
  EXPECT_EQ(verdict_text(report({98.9, 98.8}, 99)), "98.85 +- 0.05 %: 99 % not reached");
  EXPECT_EQ(verdict_text(report({98.9, 99.2}, 99)),
            "99.05 +- 0.15 %: 99 % reached, but the mean less its standard error is below: 98.900 %");
}

class SprintProgram : public ProgramTest {
 protected:
  // Seeds of the small network on the small data set; what it printed, a JSON value a line.
  std::vector<Json> sprint(const Words& more = {}) {
    Words words{"sprint",    "--model", "small.yaml", "--data",      "data",
                "--threads", "1",       "--json",     "--no-process"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json_lines(outcome.out);
  }
};

TEST_F(SprintProgram, EverySeedIsATrainingOfItsOwnAndTheSameAsTrainMakes) {
  const std::vector<Json> lines = sprint({"--seeds", "3", "--first-seed", "5", "--out", "three"});
  ASSERT_EQ(lines.size(), 4U);
  std::set<double> losses;
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(lines[i].at("event"), "seed");
    EXPECT_EQ(lines[i].at("seed"), 5 + i);
    losses.insert(lines[i].at("test_loss").get<double>());
  }
  EXPECT_EQ(losses.size(), 3U) << "other seeds, other weights";
  const Outcome trained = trainer(small_training({"--seed", "7", "--epochs", "1", "--out", "seven"}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  expect_same_tensors(folder_ / "three/model.safetensors", folder_ / "seven/model.safetensors");
}

TEST_F(SprintProgram, TheAccuracyIsThatOfEvalOnTheSavedWeights) {
  const std::vector<Json> lines = sprint({"--seeds", "2", "--out", "run"});
  const Outcome eval = trainer({"eval", "run", "--data", "data", "--json", "--threads", "1"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  const Json result = Json::parse(eval.out);
  EXPECT_EQ(result.at("accuracy"), lines[1].at("test_accuracy"));
  EXPECT_EQ(record("run").results["sprint"]["seeds"].size(), 2U);
  EXPECT_EQ(metrics("run").size(), 2U);
}

TEST_F(SprintProgram, ViewsAreThoseOfTheOptionOrElseOfTheRecipe) {
  write_network({.more_recipe = "  views: 5\n"});
  const auto accuracy_of_eval = [&](Words words) {
    words.insert(words.begin(), "eval");
    words.insert(words.end(), {"--data", "data", "--json", "--threads", "1"});
    return Json::parse(trainer(words).out).at("accuracy");
  };
  for (const int views : {5, 1}) {
    const std::string run = "views" + std::to_string(views);
    const std::vector<Json> lines = sprint(views == 5 ? Words{"--seeds", "1", "--out", run}
                                                      : Words{"--seeds", "1", "--views", "1", "--out", run});
    EXPECT_EQ(lines.back().at("views"), views);
    EXPECT_EQ(lines.front().at("test_accuracy"), accuracy_of_eval({run, "--views", std::to_string(views)}));
    EXPECT_EQ(accuracy_of_eval({run}), accuracy_of_eval({run, "--views", "5"}));
    EXPECT_EQ(contains(trainer({"runs", "show", run}).out, " % with views, training"), views == 5);
    ASSERT_EQ(trainer({"runs", "report", run, "--data", "data", "-o", run + ".html"}).code, 0);
    EXPECT_EQ(contains(read_text(folder_ / (run + ".html")), "mean of 1 seeds with views"), views == 5);
  }
  expect_same_tensors(folder_ / "views5/model.safetensors", folder_ / "views1/model.safetensors");
}

TEST_F(SprintProgram, TheRecordIsARunLikeAnyOther) {
  sprint({"--seeds", "3", "--out", "runs/one"});
  sprint({"--seeds", "3", "--out", "runs/two"});
  const Outcome list = trainer({"runs", "list"});
  EXPECT_EQ(list.code, 0) << list.err;
  EXPECT_PRED2(contains, list.out, "one");
  const Outcome compare = trainer({"runs", "compare", "one", "two"});
  EXPECT_EQ(compare.code, 0) << compare.err;
  EXPECT_PRED2(contains, compare.out, "mean accuracy, median time");
  const Outcome show = trainer({"runs", "show", "one"});
  EXPECT_PRED2(contains, show.out, "3 seeds: mean");
  const Outcome page = trainer({"runs", "report", "one", "-o", "page.html"});
  EXPECT_EQ(page.code, 0) << page.err;
}

TEST_F(SprintProgram, TimesAProcessOfItsOwn) {
  const Outcome outcome = trainer({"sprint", "--model", "small.yaml", "--data", "data", "--threads", "1",
                                   "--seeds", "1", "--no-save", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json end = json_lines(outcome.out).back();
  EXPECT_GT(end.at("process_seconds").get<double>(), 0);
}

TEST_F(SprintProgram, SaysWhatItMeasuredAndHow) {
  const Outcome outcome = trainer({"sprint", "--model", "small.yaml", "--data", "data", "--threads", "1",
                                   "--seeds", "2", "--no-save", "--no-process", "--target", "0.01"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part : {"seed 1 ", "seed 2 ", "accuracy ", "train + test", "cold ", "verdict",
                           "1 % reached", "from the first step's launch to the accuracy on the host"})
    EXPECT_PRED2(contains, outcome.out, part);
}

TEST_F(SprintProgram, ASignalEndsItBehindTheSeedThatRuns) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string run = "run" + std::to_string(signal);
    ChildProcess child(command({"sprint", "--model", "small.yaml", "--data", "data", "--threads", "1",
                                "--seeds", "100000", "--no-process", "--json", "--out", run}),
                       options());
    ASSERT_TRUE(wait_until([&] { return contains(child.output_so_far(), "\"seed\":2"); }));
    child.send(signal);
    const Outcome outcome = child.wait();
    EXPECT_EQ(outcome.code, 128 + signal) << outcome.err;
    EXPECT_EQ(record(run).status, RunStatus::kStopped);
    EXPECT_EQ(record(run).results["sprint"]["seeds"].size(), metrics(run).size());
    EXPECT_TRUE(fs::exists(folder_ / run / "model.safetensors"));
  }
}

TEST_F(SprintProgram, WrongUsageIsRefused) {
  for (const Words& wrong : {Words{"--seeds", "0"},
                             {"--target", "101"},
                             {"--target", "-1"},
                             {"--model", "quik"},
                             {"--views", "2"},
                             {"--first-seed", "-1"}}) {
    Words words{"sprint", "--data", "data", "--no-save"};
    words.insert(words.end(), wrong.begin(), wrong.end());
    expect_one_line(trainer(words), 2);
  }
}

TEST_F(SprintProgram, ALossThatIsNotFiniteIsNoResult) {
  write_network({.optimizer = "sgd", .rate = "1e30"});
  const Outcome outcome = trainer({"sprint", "--model", "small.yaml", "--data", "data", "--threads", "1",
                                   "--seeds", "2", "--no-process", "--out", "bad"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.err, "the loss is not finite");
  EXPECT_EQ(record("bad").status, RunStatus::kFailed);
}

// Nothing but the training images' labels can teach it.
TEST_F(SprintProgram, ShuffledLabelsGiveTheAccuracyOfChance) {
  const fs::path mnist = TRAINER_SOURCE_DIR "/data/mnist";
  data::Dataset dataset = data::load_dataset(mnist);
  std::shuffle(dataset.train.labels.begin(), dataset.train.labels.end(), std::mt19937(1));
  for (const char* name :
       {"train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"}) {
    fs::create_directories(folder_ / "shuffled");
    fs::copy_file(mnist / name, folder_ / "shuffled" / name);
  }
  folder_.write("shuffled/train-labels-idx1-ubyte", IdxSet::labels(dataset.train.labels));
  const Outcome outcome = trainer({"sprint", "--model", "sprint-lean", "--data", "shuffled", "--seeds", "6",
                                   "--no-save", "--no-process", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json end = json_lines(outcome.out).back();
  // What it makes of each digit is chance, but the same for most images of one: some per cent a seed.
  EXPECT_NEAR(end.at("accuracy_percent").at("mean").get<double>(), 10, 8);
  EXPECT_FALSE(end.at("reached").get<bool>());
}

}  // namespace
}  // namespace trainer::test
