// trainer runs delete as a user meets it: what goes, and all that it refuses.
#include "tests/runs/known_runs.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class RunsDelete : public ProgramTest {
 protected:
  void expect_refused(const std::string& run, int code, const std::string& reason) const {
    const Outcome outcome = trainer({"runs", "delete", "--yes", run});
    expect_one_line(outcome, code);
    EXPECT_PRED2(contains, outcome.err, reason);
    EXPECT_EQ(outcome.out, "");
  }
  bool is_there(const std::string& name) const { return fs::exists(fs::symlink_status(folder_ / name)); }
};

TEST_F(RunsDelete, RemovesARunAndNamesIt) {
  ASSERT_EQ(trainer(small_training({"--tensorboard"})).code, 0);
  const std::string id = fs::directory_iterator(folder_ / "runs")->path().filename();
  ASSERT_EQ(trainer({"runs", "report", id, "--data", "data"}).code, 0);
  folder_.write("runs/" + id + "/.checkpoint.safetensors.partial", "cut off");
  folder_.write("runs/" + id + "/.probe", "cut off");
  write_run(folder_, known_run("other", {1}));
  const Outcome outcome = trainer({"runs", "delete", "--yes", id.substr(0, 10)});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "deleted       " + id + " (finished, 9 files, ");
  EXPECT_EQ(outcome.out.find('\n'), outcome.out.size() - 1);
  EXPECT_FALSE(is_there("runs/" + id));
  EXPECT_TRUE(is_there("runs/other/run.json"));
  EXPECT_PRED2(contains, trainer({"runs", "delete", "-y", "last"}).out,
               "deleted       other (finished, 2 files, ");
  EXPECT_TRUE(fs::is_empty(folder_ / "runs"));
}

TEST_F(RunsDelete, AsksOnATerminalAlone) {
  write_run(folder_, known_run("a", {1}));
  const Outcome refused = trainer({"runs", "delete", "a"});
  expect_one_line(refused, 2);
  EXPECT_PRED2(contains, refused.err, "no terminal to ask on: --yes");
  EXPECT_TRUE(is_there("runs/a"));
  if (!contains(shell("script -qec 'echo here' /dev/null").out, "here"))
    GTEST_SKIP() << "script(1) makes no terminal here: it is not tried";
  const std::string line = " | script -qec '\"$T\" runs delete a' /dev/null";
  for (const char* answer : {"echo n", "echo", "printf ''", "echo yesterday"}) {
    EXPECT_PRED2(contains, shell(answer + line).out, "delete a (finished, 2 files, ");
    EXPECT_TRUE(is_there("runs/a")) << answer;
  }
  EXPECT_PRED2(contains, shell("echo y" + line).out, "? [y/N] ");
  EXPECT_FALSE(is_there("runs/a"));
}

TEST_F(RunsDelete, ResolvesAllBeforeItDeletesAny) {
  write_run(folder_, known_run("a", {1}));
  write_run(folder_, known_run("b", {1}));
  const Outcome unknown = trainer({"runs", "delete", "--yes", "a", "nonsense"});
  expect_one_line(unknown, 1);
  EXPECT_PRED2(contains, unknown.err, "no run or file 'nonsense'");
  EXPECT_TRUE(is_there("runs/a"));
  const Outcome both = trainer({"runs", "delete", "--yes", "a", "runs/a/", at("runs/../runs/a"), "b"});
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_EQ(std::ranges::count(both.out, '\n'), 2) << "each once: " << both.out;
  EXPECT_TRUE(fs::is_empty(folder_ / "runs"));
}

TEST_F(RunsDelete, RefusesARunThatIsBeingWritten) {
  ChildProcess child(command(small_training({"--out", "runs/mine", "--epochs", "1000000"})), options());
  ASSERT_TRUE(wait_until([&] { return contains(child.output_so_far(), "epoch 1/"); }));
  expect_refused("mine", 1, "a process is writing it");
  child.send(SIGKILL);
  (void)child.wait();
  EXPECT_PRED2(contains, trainer({"runs", "delete", "--yes", "mine"}).out, "mine (killed, ");
  EXPECT_FALSE(is_there("runs/mine"));
}

TEST_F(RunsDelete, RefusesWhatMayRunElsewhere) {
  KnownRun run = known_run("there", {1});
  run.record.status = RunStatus::kRunning;
  run.record.target = {{"name", "vm"}};
  write_run(folder_, run);
  expect_refused("there", 1,
                 "trainer runs cancel there stops it, and if vm is gone, trainer runs close there");
  run.record.target = nullptr;
  run.record.process = process_json(folder_ / "runs/there");
  run.record.process["boot_id"] = run.record.process["host"] = "another";
  write_run(folder_, run);
  expect_refused("there", 1, "whether its process has ended is not seen here");
  run.record.process["inode"] = 1;
  write_run(folder_, run);
  EXPECT_EQ(trainer({"runs", "delete", "--yes", "there"}).code, 0) << "a copy";
}

TEST_F(RunsDelete, RefusesWhatIsNotARuns) {
  write_run(folder_, known_run("a", {1}));
  folder_.write("runs/a/thesis.tex", "x");
  folder_.write("runs/a/notes/model.safetensors", "x");
  fs::create_symlink(folder_ / "data", folder_ / "runs/a/output.log");
  expect_refused("a", 1, "what is not a run's: notes, output.log, thesis.tex: move that away");
  folder_.write("a.safetensors", "x");
  expect_refused("a.safetensors", 1, "is a file, not a run");
  write_run(folder_, known_run("b", {1}));
  fs::create_directory_symlink(folder_ / "runs/b", folder_ / "link");
  expect_refused("link", 1, "it is a symbolic link");
  expect_refused("link/", 1, "it is a symbolic link");
  ASSERT_EQ(trainer(small_training({"--out", "runs/c"})).code, 0);
  ASSERT_EQ(trainer({"runs", "promote", "c", "digits"}).code, 0);
  expect_refused("digits", 1, "it is a version of a registered network and stays");
  EXPECT_EQ(trainer({"runs", "delete", "--yes", "c"}).code, 0) << "the version is a copy";
  EXPECT_EQ(trainer({"eval", "digits", "--data", "data"}).code, 0);
  write_run(folder_, known_run("fetched", {1}));
  fs::create_directory(folder_ / "runs/fetched/.fetched");
  expect_refused("fetched", 1, "its fetching was broken off: trainer runs attach ends it");
  folder_.write("runs/torn/run.json", "{");
  expect_refused("torn", 1, "cannot read the run record");
  for (const char* name : {"runs/a/thesis.tex", "runs/b/run.json", "link", "runs/torn"})
    EXPECT_TRUE(is_there(name)) << name;
}

TEST_F(RunsDelete, RemovesWhatAKilledOneLeft) {
  write_run(folder_, known_run(".deleted-x", {1}));
  folder_.write("runs/.deleted-y/thesis.tex", "x");
  EXPECT_PRED2(contains, trainer({"runs", "show", "last"}).err, "no run in ");
  EXPECT_PRED2(contains, trainer({"runs", "list"}).out, "no runs in ");
  write_run(folder_, known_run("a", {1}));
  EXPECT_EQ(trainer({"runs", "delete", "--yes", "last"}).code, 0);
  EXPECT_FALSE(is_there("runs/a"));
  EXPECT_FALSE(is_there("runs/.deleted-x"));
  EXPECT_TRUE(is_there("runs/.deleted-y/thesis.tex"));
}

TEST_F(RunsDelete, AKilledOneLeavesNoHalfRun) {
  KnownRun run = known_run("a", {1});
  int whole = 0;
  for (int attempt = 0; attempt < 40; ++attempt) {
    write_run(folder_, run);
    for (int part = 0; part < 50; ++part)
      folder_.write("runs/a/events.out.tfevents." + std::to_string(part), "x");
    ChildProcess child(command({"runs", "delete", "--yes", "a"}), options());
    std::this_thread::sleep_for(std::chrono::microseconds(250 * attempt));
    child.send(SIGKILL);
    (void)child.wait();
    if (!is_there("runs/a")) continue;
    ++whole;
    const fs::directory_iterator files(folder_ / "runs/a");
    EXPECT_EQ(std::distance(begin(files), end(files)), 52);
  }
  EXPECT_GT(whole, 0) << "it was killed before it began";
  write_run(folder_, run);
  EXPECT_EQ(trainer({"runs", "delete", "--yes", "a"}).code, 0);
  EXPECT_TRUE(fs::is_empty(folder_ / "runs")) << "nothing is left";
}

TEST_F(RunsDelete, OneOfTwoAtOnceSaysThatItIsGone) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    write_run(folder_, known_run("a", {1}));
    const Outcome outcome = shell(
        "for i in 1 2 3; do (\"$T\" runs delete --yes a >out$i 2>err$i; echo $? >code$i) & done; wait; "
        "cat out? code? err?");
    EXPECT_PRED2(contains, outcome.out, "deleted       a (finished, 2 files, ");
    std::size_t failed = 0;
    for (const char* i : {"1", "2", "3"}) {
      if (read_text(folder_ / ("code" + std::string(i))) == "0\n") continue;
      ++failed;
      const std::string error = read_text(folder_ / ("err" + std::string(i)));
      EXPECT_TRUE(contains(error, "it is gone: ") || contains(error, "no run or file 'a'")) << error;
    }
    EXPECT_EQ(failed, 2U) << outcome.out;
    EXPECT_FALSE(is_there("runs/a"));
  }
}

}  // namespace
}  // namespace trainer::test
