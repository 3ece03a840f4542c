// Where the program's output goes and what it looks like there: pipes, terminals, JSON, closed and full
// streams; and where the program finds what it needs.
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

using Output = ProgramTest;

TEST_F(Output, JsonIsOneValueALineAndNothingElse) {
  const Outcome outcome = trainer(small_training({"--json", "--out", "run"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const std::vector<Json> values = json_lines(outcome.out);
  ASSERT_EQ(values.size(), 4U);
  EXPECT_EQ(values[0]["event"], "run");
  EXPECT_EQ(values[1]["event"], "epoch");
  EXPECT_EQ(values[3]["event"], "end");
  EXPECT_EQ(values[3]["test"]["images"], 100);
  const Json& times = values[3]["epoch_seconds"];
  EXPECT_DOUBLE_EQ(times["median"], (times["min"].get<double>() + times["max"].get<double>()) / 2)
      << "of two";
  for (const Words& words :
       {Words{"models", "--json"}, Words{"models", "lenet", "--json"}, Words{"devices", "--json"},
        Words{"eval", "run", "--data", "data", "--threads", "1", "--json"}})
    EXPECT_TRUE(Json::accept(trainer(words).out)) << words[0];
}

TEST_F(Output, QuietSaysNothingButWarnings) {
  const Outcome quiet = trainer(small_training({"--quiet", "--out", "run"}));
  EXPECT_EQ(quiet.code, 0);
  EXPECT_EQ(quiet.out + quiet.err, "");
  const Outcome unsaved = trainer(small_training({"--quiet", "--no-save"}));
  EXPECT_EQ(unsaved.out, "");
  EXPECT_PRED2(contains, unsaved.err, "NOTHING IS SAVED");
}

TEST_F(Output, NoSaveWritesNothingAndSaysSo) {
  const Outcome outcome = trainer(small_training({"--no-save"}));
  ASSERT_EQ(outcome.code, 0);
  EXPECT_PRED2(contains, outcome.err, "NOTHING IS SAVED");
  EXPECT_PRED2(contains, outcome.out, "NOT SAVED");
  std::size_t entries = 0;
  for (const auto& entry : fs::directory_iterator(folder_.path())) entries += entry.exists() ? 1 : 0;
  EXPECT_EQ(entries, 2U);  // data, small.yaml
}

TEST_F(Output, PipesGetPlainLinesAndTerminalsABar) {
  const Outcome plain = trainer(small_training({"--no-save"}));
  EXPECT_EQ(plain.out.find('\x1b'), std::string::npos);
  EXPECT_EQ(plain.out.find('\r'), std::string::npos);
  EXPECT_PRED2(contains, plain.out, "epoch 1/2");
  const Outcome played = shell("script -qec 'echo here' /dev/null");
  if (!contains(played.out, "here")) GTEST_SKIP() << "script(1) makes no terminal here: it is not tried";
  const std::string line =
      "script -qec 'stty cols 120; \"$T\" train --model small.yaml --data data --threads 1 --no-save "
      "--epochs 1000000 "
      "--checkpoint-every 0 --max-seconds 3' /dev/null";
  const Outcome terminal = shell(line, {"TERM=xterm", "LC_ALL=C.UTF-8"});
  EXPECT_PRED2(contains, terminal.out, "\xE2\x94\x81");
  EXPECT_EQ(terminal.out.find('\x1b'), std::string::npos) << "no colours, no cursor keys";
  EXPECT_PRED2(contains, terminal.out, "  2 s left  ") << "of the limit";
  EXPECT_PRED2(contains, terminal.out, "  1 s left  ");
  EXPECT_PRED2(contains, terminal.out, " images/s  step ");
  const Outcome sprint = shell(
      "script -qec '\"$T\" sprint --model small.yaml --data data --threads 1 --no-save --no-process --seeds "
      "3' "
      "/dev/null",
      {"TERM=xterm", "LC_ALL=C"});
  EXPECT_PRED2(contains, sprint.out, "seed 1 of 3  ");
  EXPECT_PRED2(contains, sprint.out, " s left  ");
  EXPECT_PRED2(contains, sprint.out, " images/s");
}

TEST_F(Output, AClosedPipeDoesNotEndTheTraining) {
  const Outcome head = shell("\"$T\" train --model small.yaml --data data --threads 1 --out run | head -n 1");
  EXPECT_EQ(head.code, 0) << head.err;
  EXPECT_EQ(head.err, "");
  const Outcome none =
      shell("(\"$T\" train --model small.yaml --data data --threads 1 --out run2; echo $? > status) | true");
  EXPECT_EQ(none.err, "");
  EXPECT_EQ(read_text(folder_ / "status"), "0\n");
  for (const char* run : {"run", "run2"}) {
    EXPECT_EQ(record(run).status, RunStatus::kFinished);
    EXPECT_TRUE(fs::exists(folder_ / run / "model.safetensors"));
  }
}

TEST_F(Output, SurvivesStreamsThatAreNotThere) {
  EXPECT_EQ(shell("\"$T\" train --threads 0 2>&-").code, 2);
  EXPECT_EQ(shell("\"$T\" models 1>&- 2>&- 0<&-").code, 0);
  const Outcome closed = shell("\"$T\" train --model small.yaml --data data --threads 1 --out run >&- 2>&-");
  EXPECT_EQ(closed.code, 0);
  EXPECT_EQ(metrics("run").size(), 2U);
  EXPECT_EQ(shell("mkdir gone && cd gone && rmdir ../gone && \"$T\" models").code, 1);
}

TEST_F(Output, AFullDiskIsAFailureOfEveryCommand) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  for (const char* words : {"--help", "--version", "train --help", "models", "models lenet --json", "devices",
                            "doctor", "runs list", "runs show run", "eval run --data data --threads 1"}) {
    const Outcome full = shell(std::string("\"$T\" ") + words + " > /dev/full");
    expect_one_line(full, 1);
    EXPECT_PRED2(contains, full.err, "No space left") << words;
  }
  const std::string training = "\"$T\" train --model small.yaml --data data --threads 1 ";
  for (const char* more : {"--out full", "--no-save --json"}) {
    const Outcome full = shell(training + more + " > /dev/full");
    EXPECT_EQ(full.code, 1);
    EXPECT_PRED2(contains, full.err, "warning: standard output cannot be written: No space left");
    EXPECT_PRED2(contains, full.err, "error: ");
  }
  EXPECT_EQ(record("full").status, RunStatus::kFinished) << "the training itself went on";
  EXPECT_TRUE(fs::exists(folder_ / "full/model.safetensors"));
}

TEST_F(Output, FindsDataAndRunsFromAnyFolder) {
  const std::string model = at("small.yaml");
  fs::create_directory(folder_ / "elsewhere");
  const Words words = command({"train", "--model", model, "--threads", "1"});
  const Words environment{"TRAINER_DATA=" + at("data"), "TRAINER_RUNS=" + at("results")};
  const Outcome outcome = ChildProcess(words, {environment, at("elsewhere")}).wait();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(fs::is_empty(folder_ / "elsewhere"));
  EXPECT_TRUE(fs::exists(folder_ / "results"));
  const Outcome eval = ChildProcess(command({"eval", "last", "--threads", "1"}), {environment, "/"}).wait();
  EXPECT_EQ(eval.code, 0) << eval.err;
  EXPECT_PRED2(contains, eval.out, "100 test images");
  const Outcome shipped = ChildProcess(command({"models"}), {{}, "/"}).wait();
  EXPECT_PRED2(contains, shipped.out, "lenet");
}

}  // namespace
}  // namespace trainer::test
