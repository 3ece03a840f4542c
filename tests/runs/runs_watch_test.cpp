// trainer runs watch beside real trainings, through a pipe and on a terminal.
#include "tests/runs/known_runs.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class RunsWatch : public ProgramTest {
 protected:
  static Words long_training() {
    return small_training({"--out", "runs/mine", "--epochs", "1000000", "--checkpoint-every", "0"});
  }
  bool has_evaluations() const {
    std::error_code ignored;
    return fs::file_size(folder_ / "runs/mine/metrics.jsonl", ignored) > 0 && !ignored;
  }
  ChildProcess watching(const Words& more = {}) const {
    Words words{"runs", "watch", "mine"};
    words.insert(words.end(), more.begin(), more.end());
    return ChildProcess(command(words), options());
  }
};

TEST_F(RunsWatch, APipeGetsALineForEachEvaluation) {
  ChildProcess child(command(long_training()), options());
  ChildProcess watch = watching();
  ChildProcess data = watching({"--json"});
  ASSERT_TRUE(wait_until([&] { return contains(watch.output_so_far(), "epoch 2 of 1000000  train loss "); }));
  const std::size_t before = watch.output_so_far().size();
  ASSERT_TRUE(wait_until([&] { return watch.output_so_far().size() > before; })) << "new ones appear";
  child.send(SIGINT);
  EXPECT_EQ(child.wait().code, 130);
  const Outcome outcome = watch.wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_TRUE(outcome.out.ends_with("\nmine  stopped: signal\n"));
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);
  const std::size_t evaluations = metrics("runs/mine").size();
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(outcome.out, '\n')), evaluations + 1);
  const Outcome lines = data.wait();
  EXPECT_EQ(lines.code, 0) << lines.err;
  const std::vector<Json> values = json_lines(lines.out);
  ASSERT_EQ(values.size(), evaluations + 1);
  EXPECT_EQ(values[0]["event"], "epoch");
  EXPECT_EQ(values[0]["test_accuracy"], metrics("runs/mine")[0]["test_accuracy"]);
  EXPECT_EQ(values.back(),
            (Json{{"event", "end"}, {"run", "mine"}, {"status", "stopped"}, {"reason", "signal"}}));
}

TEST_F(RunsWatch, AKilledRunEndsTheViewWithOne) {
  ChildProcess child(command(long_training()), options());
  ASSERT_TRUE(wait_until([&] { return has_evaluations(); }));
  ChildProcess watch = watching();
  ASSERT_TRUE(wait_until([&] { return contains(watch.output_so_far(), "epoch 1 of "); }));
  child.send(SIGKILL);
  (void)child.wait();
  const Outcome outcome = watch.wait();
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  EXPECT_TRUE(outcome.out.ends_with("\nmine  killed\n"));
}

TEST_F(RunsWatch, CtrlCEndsTheViewAndNeverTheRun) {
  ChildProcess child(command(long_training()), options());
  ASSERT_TRUE(wait_until([&] { return has_evaluations(); }));
  ChildProcess watch = watching();
  ASSERT_TRUE(wait_until([&] { return contains(watch.output_so_far(), "epoch 1 of "); }));
  watch.send(SIGINT);
  EXPECT_EQ(watch.wait().code, 130);
  EXPECT_FALSE(child.ended());
  ChildProcess moved = watching();
  ASSERT_TRUE(wait_until([&] { return contains(moved.output_so_far(), "epoch 1 of "); }));
  fs::rename(folder_ / "runs/mine", folder_ / "elsewhere");
  const Outcome outcome = moved.wait();
  expect_one_line(outcome, 1);
  EXPECT_PRED2(contains, outcome.err, "runs/mine was deleted or moved while it was watched");
}

TEST_F(RunsWatch, ATerminalGetsOnePictureThatIsRedrawn) {
  if (!contains(shell("script -qec 'echo here' /dev/null").out, "here"))
    GTEST_SKIP() << "script(1) makes no terminal here: it is not tried";
  ChildProcess child(command(long_training()), options());
  ASSERT_TRUE(wait_until([&] { return has_evaluations(); }));
  const Outcome ended = shell("(sleep 2; kill -INT " + std::to_string(child.pid()) +
                                  ") & script -qec 'stty cols 60 rows 11; (sleep 1; stty -F /dev/tty cols "
                                  "20) & \"$T\" runs watch mine' "
                                  "/dev/null",
                              {"TERM=xterm", "LC_ALL=C.UTF-8"});
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_PRED2(contains, ended.out, "\x1b[H\x1b[2Jmine  running\x1b[K") << "made narrower";
  for (const char* part : {"\x1b[10A\r", "mine  running", "mine  stopped: sign", " left  ", " images/s\x1b[K",
                           "test accuracy ", "test loss ", "\xE2\x96\x88"})
    EXPECT_PRED2(contains, ended.out, part);
  const std::string line = "script -qec '\"$T\" runs watch' /dev/null";
  const Outcome plain = shell(line, {"TERM=xterm", "LC_ALL=C"});
  EXPECT_EQ(plain.code, 0);
  EXPECT_EQ(plain.out.find("\xE2\x96\x88"), std::string::npos);
  EXPECT_EQ(plain.out.find("A\r"), std::string::npos) << "a run that is over is drawn once";
  const Outcome dumb = shell(line, {"TERM=dumb"});
  EXPECT_EQ(dumb.out.find('\x1b'), std::string::npos);
  EXPECT_PRED2(contains, dumb.out, "mine  stopped: signal");
}

TEST_F(RunsWatch, KnowsRunsOfOtherMachines) {
  KnownRun run = known_run("there", {1});
  run.record.status = RunStatus::kRunning;
  run.record.target = {{"name", "vm"}};
  write_run(folder_, run);
  const Outcome remote = trainer({"runs", "watch", "there"});
  expect_one_line(remote, 2);
  EXPECT_PRED2(contains, remote.err, "vm");
  run.record.target = nullptr;
  run.record.process = process_json(folder_ / "runs/there");
  run.record.process["boot_id"] = run.record.process["host"] = "another";
  write_run(folder_, run);
  ChildProcess shared(command({"runs", "watch", "there"}), options());
  ASSERT_TRUE(wait_until([&] { return contains(shared.output_so_far(), "epoch 1"); }));
  EXPECT_FALSE(shared.ended());
  run = known_run("there", {1, 1});
  run.record.status = RunStatus::kFailed;
  run.record.reason = "no";
  write_run(folder_, run);
  const Outcome outcome = shared.wait();
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "\nepoch 2  train loss ");
  EXPECT_TRUE(outcome.out.ends_with("\nthere  failed: no\n")) << outcome.out;
}

TEST_F(RunsWatch, AnswersMistakesInOneLine) {
  expect_one_line(trainer({"runs", "watch"}), 1);
  expect_one_line(trainer({"runs", "watch", "a", "b"}), 2);
  folder_.write("runs/torn/run.json", "{");
  expect_one_line(trainer({"runs", "watch", "torn"}), 1);
  write_run(folder_, known_run("a", {1}));
  EXPECT_EQ(shell("\"$T\" runs watch a > /dev/full").code, 1);
  folder_.write("runs/a/metrics.jsonl", read_text(folder_ / "runs/a/metrics.jsonl") + "{\"epoch\":");
  EXPECT_EQ(trainer({"runs", "watch", "a"}).code, 0) << "a line that is being written";
}

}  // namespace
}  // namespace trainer::test
