// Connections to a played machine that break while a run is followed, which are made again for a while and given up with the
// way to go on; and copies of a run that arrive changed, cut off, empty or with more than files.
#include "tests/doctor/played_machine.hpp"
#include "trainer/remote/submission.hpp"

namespace trainer::test {
namespace {

using Reconnection = PlayedMachine;
using Fetching = PlayedMachine;

TEST_F(Reconnection, ALostConnectionLosesNothing) {
  play("cut", "");
  const Outcome outcome = submit("vm", {}, {"--reconnect", "0.2"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.err, "lost the connection to vm; trying again in 0.2 s (1 of 1)\n");
  EXPECT_PRED2(contains, outcome.err, "trainer runs attach " + runs().at(0));
  const std::string run_folder = "runs/" + runs().at(0);
  EXPECT_EQ(record(run_folder).status, RunStatus::kRunning);
  EXPECT_PRED2(contains, record(run_folder).reason, "connection");
  stop_playing("cut");
  EXPECT_EQ(run({"runs", "wait", "last"}).code, 0);
  EXPECT_EQ(record(run_folder).status, RunStatus::kFinished);
}

TEST_F(Reconnection, ABrokenConnectionIsMadeAnewAndNothingIsShownTwice) {
  ASSERT_EQ(submit("vm").code, 0);
  const Outcome whole = submit("vm", {}, {"--detach"});
  const std::string shown = read_text(folder_ / "play/there" / (runs().back() + ".out"));
  play("cuts", "xx");
  const Outcome outcome = run({"runs", "attach", runs().back()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, shown);
  EXPECT_PRED2(contains, outcome.err, "trying again in 0.5 s (1 of 7)\n");
  EXPECT_EQ(record("runs/" + runs().back()).status, RunStatus::kFinished);
  for (const char* seconds : {"-1", "nan"}) expect_one_line(submit("vm", {}, {"--reconnect", seconds}), 2);
}

TEST_F(Reconnection, ARunThatNobodyFollowsIsWatchedInItsContainer) {
  ASSERT_EQ(submit("vm", {}, {"--detach"}).code, 0);
  const std::string id = runs().at(0);
  const Outcome watched = run({"runs", "watch"});
  EXPECT_EQ(watched.code, 0) << watched.err;
  for (const char* part :
       {"epoch 1 of 2  train loss ", "epoch 2 of 2  train loss ", "  finished: the recipe's end\n"})
    EXPECT_PRED2(contains, watched.out, part);
  EXPECT_PRED2(contains, watched.out, "its folder is on vm: trainer runs attach " + id + " fetches it\n");
  EXPECT_FALSE(fs::exists(folder_ / "runs" / id / "metrics.jsonl")) << "watching fetches nothing";
  play("cut", "");
  const Outcome cut = run({"runs", "watch"});
  EXPECT_EQ(cut.code, 1);
  EXPECT_PRED2(contains, cut.err, "target vm: ");
  stop_playing("cut");

  Json record = Json::parse(read_text(folder_ / "play/there/runs" / id / "run.json"));
  const std::string whole = record.dump();
  record["status"] = "running";
  play("there/runs/" + id + "/run.json", record.dump());
  const Outcome killed = run({"runs", "watch"});
  EXPECT_EQ(killed.code, 1) << "its container has ended";
  EXPECT_PRED2(contains, killed.out, "  killed");
  play("there/runs/" + id + "/run.json", whole);
  EXPECT_EQ(run({"runs", "attach", id}).code, 0);
  EXPECT_EQ(run({"runs", "watch"}).out.find("its folder is on"), std::string::npos);
}

TEST(ReconnectionPauses, GrowAndAddUp) {
  using Pauses = std::vector<double>;
  EXPECT_EQ(reconnection_pauses(60), (Pauses{0.5, 1, 2, 4, 8, 16, 28.5}));
  EXPECT_EQ(reconnection_pauses(0.2), Pauses{0.2});
  EXPECT_EQ(reconnection_pauses(0), Pauses{});
  EXPECT_EQ(reconnection_pauses(100), (Pauses{0.5, 1, 2, 4, 8, 16, 30, 30, 8.5}));
}

TEST_F(Fetching, AChangedByteOnTheWayIsFound) {
  play("corrupt", "");
  const Outcome outcome = submit("vm");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.err, "arrived with SHA-256");
  const std::string run_folder = "runs/" + runs().at(0);
  EXPECT_FALSE(fs::exists(folder_ / run_folder / "model.safetensors"));
  EXPECT_EQ(run({"runs", "attach", "last"}).code, 0);
  EXPECT_EQ(record(run_folder).status, RunStatus::kFinished);
}

TEST_F(Fetching, ACopyThatIsCutOffOrEmptyIsSaidAndTheRunKept) {
  play("copied", "5000");
  const Outcome cut = submit("vm");
  EXPECT_EQ(cut.code, 1);
  const std::string id = runs().at(0);
  EXPECT_PRED2(contains, cut.err, "cannot unpack the run in ");
  EXPECT_PRED2(contains, cut.err, "the run is kept on its target");
  EXPECT_PRED2(contains, cut.err, "trainer runs attach " + id);
  play("copied", "0");
  const Outcome empty = run({"runs", "attach", id});
  EXPECT_EQ(empty.code, 1);
  EXPECT_PRED2(contains, empty.err, "vm sent nothing of the folder of run " + id);
  fs::remove(folder_ / "play/copied");
  EXPECT_EQ(run({"runs", "attach", id}).code, 0);
  EXPECT_EQ(record("runs/" + id).status, RunStatus::kFinished);
}

// A link could lead out of the run's folder, whatever writes through it later.
TEST_F(Fetching, ARunThatComesWithALinkOrAFolderIsNotTaken) {
  folder_.write("elsewhere", "of the user");
  for (const bool link : {true, false}) {
    ASSERT_EQ(submit("vm", {}, {"--detach"}).code, 0);
    const std::string id = runs().back();
    const fs::path planted = folder_ / "play/there/runs" / id / "planted";
    if (link)
      fs::create_symlink(folder_ / "elsewhere", planted);
    else
      fs::create_directory(planted);
    const Outcome attached = run({"runs", "attach", id});
    EXPECT_EQ(attached.code, 1);
    EXPECT_PRED2(contains, attached.err, "the run came with planted, which is not a plain file");
    EXPECT_FALSE(fs::exists(fs::symlink_status(folder_ / "runs" / id / "planted")));
    EXPECT_FALSE(fs::exists(folder_ / "runs" / id / "model.safetensors"));
    forget_runs();
  }
}

}  // namespace
}  // namespace trainer::test
