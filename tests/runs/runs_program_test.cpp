// trainer runs as a user meets it: real small trainings, and folders from elsewhere.
#include "tests/runs/known_runs.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class RunsProgram : public ProgramTest {
 protected:
  void train(const Words& more = {}) const {
    const Outcome outcome = trainer(small_training(more));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  Json json(const Words& arguments) const {
    Words words{"runs"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    words.emplace_back("--json");
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out);
  }
};

TEST_F(RunsProgram, AnEmptyFolderSaysWhatToDo) {
  const Outcome outcome = trainer({"runs", "list"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_PRED2(contains, outcome.out, "no runs in ");
  EXPECT_PRED2(contains, outcome.out, "'trainer train' makes one\n");
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(json({"list"}), Json::array());
  EXPECT_TRUE(trainer({"runs", "list", "--csv"}).out.starts_with("id,model,"));
}

TEST_F(RunsProgram, ListsShowsAndComparesRealRuns) {
  train({"--seed", "5"});
  train({"--batch", "20", "--epochs", "6"});
  const Outcome list = trainer({"runs", "list"});
  EXPECT_EQ(list.code, 0) << list.err;
  EXPECT_EQ(list.err, "");
  EXPECT_PRED2(contains, list.out, "-small-5 small ");
  const Json rows = json({"list", "--sort", "seed"});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1]["seed"], 5);
  EXPECT_EQ(rows[0]["batch"], 20);
  EXPECT_EQ(rows[0]["epochs"], 6);
  EXPECT_EQ(rows[0]["status"], "finished");
  const std::string first = rows[1]["id"];
  const std::string second = rows[0]["id"];
  EXPECT_EQ(rows[1]["accuracy"], metrics("runs/" + first).back()["test_accuracy"]);

  const Outcome shown = trainer({"runs", "show", first});
  EXPECT_EQ(shown.code, 0) << shown.err;
  for (const char* part :
       {"status            finished: the recipe's end\n", "seed              5\n", "model.safetensors  ",
        "batch             16\n", "sgd (momentum ", "target            local\n"})
    EXPECT_PRED2(contains, shown.out, part);
  EXPECT_EQ(json({"show", first})["epochs"].size(), 2U);
  EXPECT_EQ(json({"show", first})["record"]["seed"], 5);

  const Outcome compared = trainer({"runs", "compare", first, second, "--price", "2.5", "--accuracy", "1"});
  EXPECT_EQ(compared.code, 0) << compared.err;
  for (const char* part : {"n/a: of 1 and 5 epochs", "recipe.batch", "cost to 100 %"})
    EXPECT_PRED2(contains, compared.out, part);
  const Json all = json({"compare", second, second, second, "--price", "1,2,3"});
  EXPECT_EQ(all["runs"].size(), 3U);
  EXPECT_EQ(all["runs"][1]["speed"]["ratio"], 1);
  EXPECT_LE(all["runs"][1]["speed"]["low"], 1);
  EXPECT_EQ(all["runs"][2]["price_per_hour"], 3);
  EXPECT_EQ(all["differences"], Json::array());
  const Json only = json({"compare", first, second, "--only-diff"});
  EXPECT_FALSE(only["runs"][0].contains("speed"));
  EXPECT_EQ(only["differences"][0]["name"], "seed");
}

TEST_F(RunsProgram, FindsARunLikeTheOtherCommands) {
  train();
  const std::string id = json({"list"})[0]["id"];
  fs::copy(folder_ / "runs" / id, folder_ / "runs/from-another-machine", fs::copy_options::recursive);
  for (const std::string& run :
       {id, id.substr(0, 8), "runs/" + id, at("runs/" + id), std::string("last"), std::string("from")})
    EXPECT_EQ(json({"show", run})["epochs"].size(), 2U) << run;
  EXPECT_EQ(json({"show", "from-another-machine"})["id"], "from-another-machine");
  EXPECT_EQ(json({"list"}).size(), 2U);
  const Outcome file = trainer({"runs", "show", "runs/" + id + "/model.safetensors"});
  expect_one_line(file, 1);
  EXPECT_PRED2(contains, file.err, "is a file, not a run: give a run's folder");
  const Outcome unknown = trainer({"runs", "compare", id, "nonsense"});
  expect_one_line(unknown, 1);
  EXPECT_PRED2(contains, unknown.err, "no run or file 'nonsense'");
}

TEST_F(RunsProgram, BrokenFoldersAreANoteAndNothingElse) {
  write_run(folder_, known_run("good", {1, 1}));
  folder_.write("runs/torn/run.json", "{\"format_version\": 1, \"sta");
  folder_.write("runs/foreign/x", "x");
  for (const Words& words : {Words{"runs", "list"}, {"runs", "list", "--json"}, {"runs", "list", "--csv"}}) {
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_PRED2(contains, outcome.out, "good");
    EXPECT_EQ(outcome.out.find("torn"), std::string::npos);
    EXPECT_TRUE(outcome.err.starts_with("note: 2 folders in ")) << outcome.err;
    EXPECT_PRED2(contains, outcome.err, "foreign (no run.json), torn (cannot read the run record run.json");
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1);
  }
  EXPECT_EQ(json({"list"}).size(), 1U);
  expect_one_line(trainer({"runs", "show", "torn"}), 1);
}

TEST_F(RunsProgram, ARunInProgressRunsUntilItIsKilled) {
  ChildProcess child(
      command(small_training({"--out", "runs/mine", "--epochs", "1000000", "--checkpoint-every", "0"})),
      options());
  ASSERT_TRUE(wait_until([&] { return contains(child.output_so_far(), "epoch 1/"); }));
  EXPECT_PRED2(contains, trainer({"runs", "list"}).out, " running\n");
  child.send(SIGKILL);
  (void)child.wait();
  const std::string before = read_text(folder_ / "runs/mine/run.json");
  EXPECT_PRED2(contains, trainer({"runs", "list", "--where", "status == 'killed'"}).out, " killed\n");
  const Outcome shown = trainer({"runs", "show", "mine"});
  EXPECT_PRED2(contains, shown.out,
               "status            killed: its process ended without closing the record\n");
  EXPECT_EQ(read_text(folder_ / "runs/mine/run.json"), before);
}

TEST_F(RunsProgram, AnswersMistakesInOneLine) {
  write_run(folder_, known_run("good", {1, 1}));
  for (const Words& words : {Words{"runs"},
                             {"runs", "lst"},
                             {"runs", "list", "--srt", "id"},
                             {"runs", "list", "extra"},
                             {"runs", "list", "--sort", "acuracy"},
                             {"runs", "list", "--where", "acuracy > 1"},
                             {"runs", "list", "--where", "model =~ 'a|b'"},
                             {"runs", "list", "--where", "epochs > 1", "--where"},
                             {"runs", "list", "--csv", "--json"},
                             {"runs", "show"},
                             {"runs", "compare", "good"},
                             {"runs", "compare", "good", "good", "--price", "2,"},
                             {"runs", "compare", "good", "good", "--price", "1,2,3"},
                             {"runs", "compare", "good", "good", "--price", "-1"},
                             {"runs", "compare", "good", "good", "--accuracy", "101"},
                             {"runs", "compare", "good", "good", "--accuracy", "nan"}})
    expect_one_line(trainer(words), 2);
  EXPECT_PRED2(contains, trainer({"runs", "lst"}).err, "unknown command 'lst'; did you mean list?");
  EXPECT_PRED2(contains, trainer({"runs", "list", "--srt", "id"}).err,
               "unknown option '--srt'; did you mean --sort?");
  EXPECT_PRED2(contains, trainer({"runs", "list", "--srt"}).err, "(trainer runs list --help says more)");
  EXPECT_PRED2(contains, trainer({"runs"}).err, "a command is missing: one of list, show, compare");
  EXPECT_EQ(trainer({"runs", "list", "--where", "epochs > 5"}).code, 0);
  EXPECT_PRED2(contains, trainer({"runs", "list", "--where", "epochs > 5"}).out, "none of the 1 run in ");
}

TEST_F(RunsProgram, SortsDownwardsAndExplainsItsFields) {
  write_run(folder_, known_run("a", {1}));
  write_run(folder_, known_run("b", {1, 1}));
  EXPECT_EQ(json({"list", "--sort", "-accuracy"})[0]["id"], "b");
  EXPECT_EQ(json({"list", "--sort=accuracy"})[0]["id"], "a");
  EXPECT_EQ(json({"list", "--where", "epochs > 0", "--where", "id == b"}).size(), 1U)
      << "each of them is met";
  const Outcome help = trainer({"runs", "list", "--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* part : {"images_per_second", "validation_accuracy", "=~", "[-started]"})
    EXPECT_PRED2(contains, help.out, part);
}

TEST_F(RunsProgram, AFullDiskIsAnError) {
  write_run(folder_, known_run("a", {1}));
  for (const char* words : {"runs list", "runs show a", "runs compare a a"})
    EXPECT_EQ(shell(std::string("\"$T\" ") + words + " > /dev/full").code, 1) << words;
}

TEST_F(RunsProgram, HostileNamesDoNotReachTheTerminal) {
  KnownRun run = known_run("evil\x1b[31m", {1, 1});
  run.record.model = "m\x1b]0;x\x07";
  run.record.reason = "line\nline";
  write_run(folder_, run);
  for (const char* words : {"runs list", "runs show evil", "runs compare evil evil"})
    EXPECT_EQ(shell(std::string("\"$T\" ") + words).out.find_first_of("\x1b\x07"), std::string::npos)
        << words;
}

}  // namespace
}  // namespace trainer::test
