// Submitted runs that were stopped and go on, that are left to themselves, that never began, and whose machine is gone.
#include <thread>

#include "tests/doctor/played_machine.hpp"
#include "trainer/remote/connection.hpp"
#include "trainer/store/run_folder.hpp"

namespace trainer::test {
namespace {

using Resumption = PlayedMachine;

TEST(ResumeLine, NamesTheFolderHere) {
  const std::string text =
      "go there\ngo on with\nstopped\ngo on with    trainer train --resume /runs/x\ngo on with    "
      "nothing\nend";
  const std::string expected =
      "go there\ngo on with\nstopped\ngo on with    trainer train --resume /here/x\ngo on with    "
      "nothing\nend";
  EXPECT_EQ(ResumeLine("/here/x")(text), expected);
  ResumeLine line("/here/x");
  std::string shown;
  for (const char c : text) shown += line({&c, 1});
  EXPECT_EQ(shown, expected);
  EXPECT_EQ(ResumeLine("")(text), text);
}

TEST_F(Resumption, AStoppedRunGoesOnAsIfItHadNotStopped) {
  ASSERT_EQ(trainer(small_training({"--out", "whole", "--epochs", "4"})).code, 0);
  const Outcome stopped = submit("vm", {"--epochs", "4", "--max-seconds", "0.000001", "--tensorboard"});
  const std::string id = runs().at(0);
  const std::string folder = at("runs/" + id);
  ASSERT_EQ(record("runs/" + id).status, RunStatus::kStopped) << stopped.err;
  EXPECT_EQ(event_files(folder).size(), 1U) << "fetched";
  EXPECT_PRED2(contains, stopped.out, "trainer train --resume " + folder + "\n");
  EXPECT_PRED2(contains, stopped.err, "trainer submit -c vm --resume " + folder + "\n");
  const Outcome outcome = run({"submit", "--resume", id});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto shows_data = [](const Words& call) {
    return call[0] == "create" && std::ranges::find(call, "/sent/data/data") != call.end();
  };
  EXPECT_EQ(std::ranges::count_if(calls("docker.log"), shows_data), 1) << "to the second container too";
  EXPECT_EQ(runs(), Words{id}) << "it goes on in its own folder";
  EXPECT_EQ(record("runs/" + id).status, RunStatus::kFinished);
  EXPECT_EQ(record("runs/" + id).resumed.size(), 1U);
  EXPECT_EQ(event_files(folder).size(), 2U) << "it went on with events, which it had been sent";
  EXPECT_EQ(record("runs/" + id).target["name"], "vm");
  expect_same_tensors(folder_ / "runs" / id / "model.safetensors", folder_ / "whole/model.safetensors");
}

TEST_F(Resumption, ARunThatCannotGoOnStaysAsItWas) {
  (void)submit("vm", {"--epochs", "4", "--max-seconds", "0.000001"});
  const std::string id = runs().at(0);
  play("ssh-fails", "ssh: connect to host x port 22: Connection refused\r\n");
  EXPECT_EQ(run({"submit", "--resume", id}).code, 1);
  EXPECT_EQ(record("runs/" + id).status, RunStatus::kStopped);
  stop_playing("ssh-fails");
  EXPECT_EQ(run({"submit", "--resume", id, "--", "train", "--batch", "5"}).code, 2);
  EXPECT_EQ(record("runs/" + id).status, RunStatus::kStopped);
  expect_one_line(run({"submit", "-c", "local", "--resume", id}), 2);
  expect_one_line(run({"submit"}), 2);
  EXPECT_TRUE(fs::exists(folder_ / "runs" / id / "checkpoint.safetensors"));
}

TEST_F(Resumption, ARunThatIsLeftToItselfIsPickedUpAgain) {
  ASSERT_EQ(submit("vm", {}, {"--detach"}).code, 0);
  const std::string id = runs().at(0);
  play("lasts", "");
  ChildProcess attached(command({"runs", "attach", id}), options(played()));
  while (!fs::exists(folder_ / "play/followed") && !attached.ended())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  attached.send(SIGTERM);
  const Outcome left = attached.wait();
  EXPECT_EQ(left.code, 128 + SIGTERM);
  EXPECT_PRED2(contains, left.err, "left the run to itself; pick it up with: trainer runs attach " + id);
  stop_playing("lasts");
  EXPECT_EQ(run({"runs", "attach", id}).code, 0);
  EXPECT_EQ(record("runs/" + id).status, RunStatus::kFinished);
}

TEST_F(Resumption, AContainerThatNeverBeganSaysWhy) {
  ASSERT_EQ(submit("vm", {}, {"--detach"}).code, 0);
  const std::string id = runs().at(0);
  play("there/" + id + ".code", "127\n");
  play("there/" + id + ".err",
       "trainer: error while loading shared libraries: libcudnn.so.9: cannot open shared object file\n");
  fs::remove_all(folder_ / "play/there/runs");
  const Outcome outcome = run({"runs", "attach", id});
  EXPECT_EQ(outcome.code, 127);
  const std::string why = "the program ended with status 127 before the run began: ";
  EXPECT_PRED2(contains, outcome.err, "error: " + why);
  EXPECT_PRED2(contains, record("runs/" + id).reason, why);
}

TEST_F(Resumption, TheRecordOfAMachineThatIsGoneIsClosed) {
  ASSERT_EQ(submit("vm", {}, {"--detach"}).code, 0);
  const std::string id = runs().at(0);
  play("ssh-fails", "ssh: connect to host x port 22: Connection timed out\r\n");
  const Outcome cancelled = run({"runs", "cancel", id});
  EXPECT_EQ(cancelled.code, 1);
  EXPECT_PRED2(contains, cancelled.err, "trainer runs close " + id);
  EXPECT_PRED2(contains, run({"runs", "wait", id, "--reconnect", "0"}).err, "trainer runs close " + id);
  EXPECT_EQ(record("runs/" + id).status, RunStatus::kRunning);
  ASSERT_EQ(run({"target", "detach", "vm"}).code, 0);
  EXPECT_PRED2(contains, run({"runs", "attach", id}).err, "trainer runs close " + id);
  EXPECT_EQ(run({"runs", "close", id}).code, 0);
  EXPECT_EQ(record("runs/" + id).status, RunStatus::kFailed);
  EXPECT_EQ(run({"runs", "close", id}).code, 2);
  ASSERT_EQ(trainer(small_training({"--out", "whole"})).code, 0);
  EXPECT_EQ(run({"runs", "close", "whole"}).code, 2) << "a training of this machine";
}

TEST_F(Resumption, WhatAKillLeftOfTheFetchingIsRemovedByTheNextAttach) {
  ASSERT_EQ(submit("vm").code, 0);
  const std::string id = runs().at(0);
  EXPECT_EQ(run({"runs", "attach", id}).code, 0);
  EXPECT_EQ(calls("docker.log").back()[0], "rm") << "a run that was fetched whole needs its target no more";
  const std::size_t before = calls("docker.log").size();
  EXPECT_EQ(run({"runs", "attach", id}).code, 0);
  EXPECT_EQ(calls("docker.log").size(), before);
  folder_.write("runs/" + id + "/.fetched/files/x", "");  // killed before the container was removed
  play("there/" + id + ".code", "0");
  EXPECT_EQ(run({"runs", "attach", id}).code, 0);
  EXPECT_FALSE(fs::exists(folder_ / "runs" / id / ".fetched"));
  EXPECT_FALSE(fs::exists(folder_ / "play/there" / (id + ".code")));
}

}  // namespace
}  // namespace trainer::test
