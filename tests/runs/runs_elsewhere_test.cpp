// Runs that come from elsewhere: other time zones, files that came over in part, folders that were copied while their run went on.
#include <cstdlib>
#include <gtest/gtest.h>

#include "tests/runs/known_runs.hpp"
#include "trainer/runs/run_comparison.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/errors.hpp"

namespace trainer::test {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

class RunsElsewhere : public testing::Test {
 protected:
  RunList list() const { return list_runs(folder_ / "runs"); }
  KnownRun only() const { return list().runs.at(0); }

  static std::string ids(const std::vector<KnownRun>& runs) {
    std::string text;
    for (const KnownRun& run : runs) text += run.id;
    return text;
  }

  // What a run of three epochs, 90, 93 and 96 %, writes down at its end.
  static KnownRun closed_run(const std::string& id) {
    KnownRun run = known_run(id, {1, 1, 1});
    run.record.results = {{"epochs", 3U}, {"test", {{"images", 100}, {"accuracy", 0.96}, {"loss", 0.25}}}};
    return run;
  }

  TemporaryFolder folder_;
};

TEST_F(RunsElsewhere, AreOrderedByTheInstantInWhichTheyStarted) {
  // 03:00, 08:00 and 09:30 in UTC; the texts' own order is another one.
  for (const auto& [id, started] : {std::pair("a", "2026-11-29T12:00:00+09:00"),
                                    {"b", "2026-11-29T08:00:00+00:00"},
                                    {"c", "2026-11-29T04:30:00-05:00"},
                                    {"x", "some day"}}) {
    KnownRun run = known_run(id, {1});
    run.record.started = started;
    write_run(folder_, run);
  }
  std::vector<KnownRun> runs = list().runs;
  EXPECT_EQ(ids(runs), "cbax") << "what is no time comes last";
  sort_runs(runs, "started");
  EXPECT_EQ(ids(runs), "abcx");
  sort_runs(runs, "-started");
  EXPECT_EQ(ids(runs), "cbax");
  const auto meet = [&](const std::string& condition) {
    std::vector<KnownRun> kept = runs;
    filter_runs(kept, condition);
    return ids(kept);
  };
  EXPECT_EQ(meet("started > '2026-11-29T07:00:00+00:00'"), "cb");
  EXPECT_EQ(meet("started >= 2026-11-29T17:00+09:00"), "cb");
  EXPECT_EQ(meet("started == '2026-11-29 03:00:00+0000'"), "a") << "the same instant in another zone";
  EXPECT_EQ(meet("started =~ '+09:00'"), "a") << "a pattern is of the text";
  EXPECT_EQ(meet("started < 2027"), "cba");
  for (const char* wrong :
       {"started > yesterday", "started > '2026-02-31'", "started > '2026-13'", "started > 09:30"})
    EXPECT_THROW((void)meet(wrong), UsageError) << wrong;
}

TEST_F(RunsElsewhere, HaveTheirRecordsResultWhereTheirMetricsAreShort) {
  const std::string first = epoch_json(known_run("", {1}).epochs[0]).dump();
  for (const std::string& metrics : {first + "\n", first + "\n" + first.substr(0, 60), std::string()}) {
    write_run(folder_, closed_run("r"));
    folder_.write("runs/r/metrics.jsonl", metrics);
    if (metrics.empty()) fs::remove(folder_ / "runs/r/metrics.jsonl");
    const KnownRun run = only();
    EXPECT_EQ(run.accuracy(), 0.96) << metrics;
    EXPECT_EQ(runs_json({run})[0]["loss"], 0.25);
    EXPECT_EQ(runs_json({run})[0]["epochs"], 3);
    const std::string said = metrics.empty() ? "holds 0 of 3 epochs" : "holds 1 of 3 epochs";
    EXPECT_EQ(runs_json({run})[0]["note"], "metrics.jsonl " + said);
    EXPECT_EQ(disagreement_note({run}),
              "note: run.json and metrics.jsonl disagree, and the former is believed: r (metrics.jsonl " +
                  said + ")");
    EXPECT_NE(run_text(run).find("accuracy          96.00 % of 100 test images, loss 0.2500\n"),
              std::string::npos)
        << run_text(run);
    const std::vector<KnownRun> both{run, closed_run("whole")};
    const std::string compared = comparison_text(both, compare_runs(both, {0.95, {}}), {0.95, {}});
    EXPECT_NE(compared.find(metrics.empty() ? "n/a: 0 of 3 epochs" : "n/a: 1 of 3 epochs"), std::string::npos)
        << compared;
  }
}

TEST_F(RunsElsewhere, NeverHaveAnEarlierEpochsAccuracyAsTheirs) {
  KnownRun run = closed_run("r");
  run.record.results.erase("test");
  run.epochs.pop_back();
  EXPECT_EQ(run.accuracy(), std::nullopt);
  EXPECT_NE(run_text(run).find("accuracy          unknown\n"), std::string::npos);
  run.epochs.clear();
  EXPECT_EQ(run_text(run).find("no evaluation"), std::string::npos);
}

TEST_F(RunsElsewhere, SayThatTheirFilesDiffer) {
  KnownRun run = closed_run("r");
  EXPECT_EQ(run.disagreement(), "");
  run.record.results["test"]["accuracy"] = 0.91;
  EXPECT_EQ(run.accuracy(), 0.91);
  EXPECT_EQ(run.disagreement(), "its accuracy is 91 % in run.json and 96 % in metrics.jsonl");
  EXPECT_NE(comparison_legend({run, run}).find("note: run.json and metrics.jsonl disagree"),
            std::string::npos);
}

TEST_F(RunsElsewhere, ShowTheirMetricsAsTheFileHasThem) {
  write_run(folder_, known_run("r", {1}));
  Json line = Json::parse(read_text(folder_ / "runs/r/metrics.jsonl"));
  line["test_accuracy_standard_error"] = 0.125;
  line["of another version"] = true;
  folder_.write("runs/r/metrics.jsonl", line.dump() + "\n");
  EXPECT_EQ(run_json(only())["epochs"], Json::array({line}));
}

class CopiedRun : public RunsElsewhere {
 protected:
  // A run of this machine whose process has died.
  CopiedRun() {
    run_ = known_run("r", {1});
    run_.record.status = RunStatus::kRunning;
    run_.record.reason = "";
    path_ = write_run(folder_, run_);
    run_.record.process = process_json(path_);
    run_.record.machine["host"] = run_.record.process["host"];
    write_run(folder_, run_);
  }
  std::string status_with(const char* key, const Json& value) {
    KnownRun changed = run_;
    changed.record.process[key] = value;
    write_run(folder_, changed);
    return only().status();
  }

  KnownRun run_;
  fs::path path_;
};

TEST_F(CopiedRun, IsToldByItsFolder) {
  EXPECT_EQ(only().status(), "killed");
  fs::create_directories(folder_ / "elsewhere");
  fs::copy(path_, folder_ / "elsewhere/copy", fs::copy_options::recursive);
  const KnownRun copy = read_known_run(folder_ / "elsewhere/copy");
  EXPECT_EQ(copy.status(), "copied");
  EXPECT_NE(run_text(copy).find(
                "status            copied: this folder was copied while the run continued; how it ended "
                "is known at " +
                run_.record.process["host"].get<std::string>() + ":" + fs::canonical(path_).string() + "\n"),
            std::string::npos)
      << run_text(copy);
  EXPECT_EQ(run_text(copy).find("killed"), std::string::npos);
  fs::rename(path_, folder_ / "elsewhere/moved");
  EXPECT_EQ(read_known_run(folder_ / "elsewhere/moved").status(), "killed") << "moved, it is the same folder";
}

TEST_F(CopiedRun, IsToldByItsMachine) {
  EXPECT_EQ(status_with("boot_id", "of another start"), "killed") << "this machine was started again";
  EXPECT_EQ(status_with("host", "a container"), "killed") << "a container of this machine";
  run_.record.process["host"] = "other";
  EXPECT_EQ(status_with("boot_id", "of another machine"), "copied");
  EXPECT_EQ(status_with("inode", "no number"), "copied");
  run_.record.process = nullptr;
  write_run(folder_, run_);
  EXPECT_EQ(only().status(), "killed") << "an older record names only its machine";
  run_.record.machine["host"] = "other";
  write_run(folder_, run_);
  EXPECT_EQ(only().status(), "copied");
  std::vector<KnownRun> runs = list().runs;
  filter_runs(runs, "status == copied");
  EXPECT_EQ(runs.size(), 1U);
}

TEST_F(CopiedRun, ThatIsWrittenAgainRuns) {
  fs::create_directories(folder_ / "elsewhere");
  fs::copy(path_, folder_ / "elsewhere/copy", fs::copy_options::recursive);
  const RunFolder writer = RunFolder::reopen(folder_ / "elsewhere/copy");
  EXPECT_EQ(read_known_run(folder_ / "elsewhere/copy").status(), "running");
}

}  // namespace
}  // namespace trainer::test
