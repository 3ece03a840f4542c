// Trainings submitted to this machine's process, to a played engine and to a played remote machine: same
// weights, same record, same status as a training here, and every failure with a message, a status and a
// record.
#include "tests/doctor/played_machine.hpp"
#include "trainer/store/safetensors.hpp"

namespace trainer::test {
namespace {

using Submission = PlayedMachine;

Json target_of(const RunRecord& record) {
  return record.target;
}

TEST_F(Submission, AProcessOfThisMachineTrainsAsItWouldAlone) {
  ASSERT_EQ(trainer(small_training({"--out", "whole"})).code, 0);
  folder_.write("targets/local.compute", "type: local\n");
  folder_.write("targets/local.runconfig", "Target: local\nEnvironmentVariables: {TRAINER_DATA: data}\n");
  const Outcome outcome = run({"submit", "-c", "local", "--", "train", "--model", "small.yaml", "--threads",
                               "1", "--engine", "libraries"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "engine        libraries: changes nothing on a CPU\n");
  EXPECT_PRED2(contains, outcome.out, "accuracy");
  ASSERT_EQ(runs().size(), 1U);
  const std::string run = "runs/" + runs().at(0);
  EXPECT_EQ(record(run).status, RunStatus::kFinished);
  EXPECT_EQ(target_of(record(run))["name"], "local");
  EXPECT_EQ(target_of(record(run))["exit_code"], 0);
  EXPECT_EQ(record(run).recipe["settings"]["engine"], "libraries");
  expect_same_tensors(folder_ / run / "model.safetensors", folder_ / "whole/model.safetensors");
}

TEST_F(Submission, ARemoteContainerGivesTheSameRunAndIsRemoved) {
  ASSERT_EQ(trainer(small_training({"--out", "whole"})).code, 0);
  const Outcome outcome = submit("vm");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "accuracy");
  EXPECT_PRED2(contains, outcome.err, "fetched");
  ASSERT_EQ(runs().size(), 1U);
  const std::string run = "runs/" + runs().at(0);
  EXPECT_EQ(record(run).status, RunStatus::kFinished);
  EXPECT_EQ(target_of(record(run))["address"], "vm.example.com");
  EXPECT_EQ(target_of(record(run))["container"], runs().at(0));
  EXPECT_EQ(target_of(record(run))["sha256"].size(), 5U);
  EXPECT_PRED2(contains, outcome.out, read_text(folder_ / run / "output.log"));
  EXPECT_EQ(metrics(run).size(), 2U);
  expect_same_tensors(folder_ / run / "model.safetensors", folder_ / "whole/model.safetensors");
  EXPECT_FALSE(fs::exists(folder_ / run / ".fetched"));
  EXPECT_FALSE(fs::exists(folder_ / "play/there" / (runs().at(0) + ".code")));
  for (const Words& call : calls("ssh.log")) {
    ASSERT_GE(call.size(), 3U);
    EXPECT_EQ(call[call.size() - 3], "--");
    EXPECT_EQ(call[call.size() - 2], "me@vm.example.com");
  }
}

TEST_F(Submission, AFileOfOptionsIsReadHereAndItsLinesGo) {
  ASSERT_EQ(trainer(small_training({"--out", "whole"})).code, 0);
  folder_.write("options.yaml", "model: small.yaml\nthreads: 1\nseed: 5\n");
  for (const char* target : {"vm", "docker", "local"}) {
    const Outcome outcome = run(
        {"submit", "-c", target, "--", "train", "--data", "data", "--config", "options.yaml", "--seed", "1"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const std::string run = "runs/" + runs().back();
    EXPECT_EQ(record(run).seed, 1U) << "the command line has the last word";
    EXPECT_PRED2(contains, run, "small") << "the run is named by the file's network";
    expect_same_tensors(folder_ / run / "model.safetensors", folder_ / "whole/model.safetensors");
  }
  folder_.write("options.yaml", "epoch: 3\n");
  const Outcome wrong = run({"submit", "-c", "vm", "--", "train", "--config=options.yaml"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_PRED2(contains, wrong.err, "options.yaml:1:1: unknown option 'epoch'");
}

TEST_F(Submission, StrangeWordsArriveAsTheyWere) {
  const std::string strange = "a b'\"$(touch pwned)`touch pwned`\n;&|\\ *~é";
  folder_.write("targets/vm.runconfig",
                "Target: vm\nEnvironmentVariables: {ODD: \"x y'\\\"$(touch pwned)\\nz\"}\n");
  const Outcome outcome = submit("vm", {"--data", strange, "--json", ""});
  EXPECT_EQ(outcome.code, 2) << "an empty word is one too many";
  const std::vector<Words> all = calls("docker.log");
  const auto run = std::find_if(all.begin(), all.end(), [](const Words& words) { return words[0] == "run"; });
  ASSERT_NE(run, all.end());
  EXPECT_NE(std::find(run->begin(), run->end(), "ODD=x y'\"$(touch pwned)\nz"), run->end());
  EXPECT_NE(std::find(run->begin(), run->end(), strange), run->end());
  EXPECT_EQ((*run)[run->size() - 2], "");
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path()))
    EXPECT_NE(entry.path().filename(), "pwned");
  EXPECT_TRUE(runs().empty()) << "wrong usage leaves no run";
}

TEST_F(Submission, TheStatusOfTheTrainingComesThrough) {
  EXPECT_EQ(submit("vm", {"--epoch", "3"}).code, 2);
  EXPECT_EQ(submit("local", {"--epoch", "3"}).code, 2);
  EXPECT_TRUE(runs().empty());
  for (const char* target : {"vm", "docker", "local"}) {
    const Outcome outcome = submit(target, {"--data", "/nowhere"});
    EXPECT_EQ(outcome.code, 1) << outcome.err;
    const std::string run = "runs/" + runs().back();
    EXPECT_EQ(record(run).status, RunStatus::kFailed);
    EXPECT_EQ(target_of(record(run))["name"], target);
    forget_runs();
  }
}

struct PlayedFailure {
  const char* file;
  const char* said;
  const char* message;
};

TEST_F(Submission, AFailureHasAMessageAStatusAndARecord) {
  const PlayedFailure failures[] = {
      {"ssh-fails", "me@vm.example.com: Permission denied (publickey).\r\n", "does not take the key"},
      {"ssh-fails", "Host key verification failed.\r\n", "host key of vm.example.com is not known"},
      {"ssh-fails", "ssh: connect to host x port 22: Connection refused\r\n", "refuses the connection"},
      {"docker-fails", "sh: 1: docker: not found: no space left on device\n", "its disk is full"},
      {"docker-fails", "permission denied while trying to connect to the Docker daemon socket\n",
       "usermod -aG docker me"},
      {"docker-fails", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n",
       "does not run"},
  };
  for (const PlayedFailure& failure : failures) {
    play(failure.file, failure.said);
    const Outcome outcome = submit("vm");
    expect_one_line(outcome, 1);
    EXPECT_PRED2(contains, outcome.err, "target vm: ");
    EXPECT_PRED2(contains, outcome.err, failure.message);
    ASSERT_EQ(runs().size(), 1U);
    EXPECT_EQ(record("runs/" + runs().at(0)).status, RunStatus::kFailed);
    EXPECT_PRED2(contains, record("runs/" + runs().at(0)).reason, failure.message);
    forget_runs();
    stop_playing(failure.file);
  }
}

TEST_F(Submission, AMissingImageIsSentFirstUnlessForbidden) {
  stop_playing("there/image");
  folder_.write("targets/vm.runconfig", "Target: vm\nPrepareEnvironment: false\n");
  const Outcome refused = submit("vm");
  expect_one_line(refused, 1);
  EXPECT_PRED2(contains, refused.err, "trainer prepare -c vm");
  EXPECT_EQ(record("runs/" + runs().at(0)).status, RunStatus::kFailed);
  folder_.write("targets/vm.runconfig", "Target: vm\n");
  EXPECT_EQ(submit("vm").code, 0);
  EXPECT_TRUE(fs::exists(folder_ / "play/there/image"));
}

TEST_F(Submission, PrepareSendsOnceAndWhatHasChanged) {
  stop_playing("there/image");
  EXPECT_EQ(run({"prepare", "-c", "vm"}).out, "trainer:1 on vm: ready\n");
  EXPECT_EQ(run({"prepare", "-c", "vm"}).out, "trainer:1 on vm: up to date\n");
  play("here/image", "layers of another\n");
  EXPECT_EQ(run({"prepare", "-c", "vm"}).out, "trainer:1 on vm: ready\n");
  EXPECT_EQ(read_text(folder_ / "play/there/image"), "layers of another\n");
  stop_playing("here/image");
  EXPECT_EQ(run({"prepare", "-c", "vm"}).out, "trainer:1 on vm: up to date\n");
  stop_playing("there/image");
  const Outcome outcome = run({"prepare", "-c", "vm"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.err, "neither on this machine nor there");
  EXPECT_EQ(run({"prepare", "-c", "local"}).code, 2);
}

TEST_F(Submission, AnImageThatDoesNotArriveIsNotReady) {
  const char* messages[][2] = {{"load-fails", "its disk is full"}, {"save-fails", "no space left on device"}};
  for (const auto& [file, message] : messages) {
    stop_playing("there/image");
    play(file, "write /var/lib/docker/tmp/layer: no space left on device\n");
    const Outcome outcome = run({"prepare", "-c", "vm"});
    EXPECT_EQ(outcome.code, 1);
    EXPECT_PRED2(contains, outcome.err, message);
    stop_playing(file);
  }
}

TEST_F(Submission, AnImageOfAnotherArchitectureIsNotSent) {
  play("here/image", "layers linux/arm64\n");
  const Outcome refused = run({"prepare", "-c", "vm"});
  expect_one_line(refused, 1);
  EXPECT_PRED2(contains, refused.err, "trainer:1 is for linux/arm64, the engine of vm for linux/amd64");
  EXPECT_EQ(read_text(folder_ / "play/there/image"), "layers of one\n");
  play("there/image", "layers linux/arm64\n");
  const Outcome check = run({"target", "check", "vm"});
  EXPECT_EQ(check.code, 1);
  EXPECT_PRED2(contains, check.out, "image              FAILED   the image trainer:1 is for linux/arm64");
}

TEST_F(Submission, ADetachedRunIsPickedUpOnce) {
  const Outcome outcome = submit("vm", {}, {"--detach"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  ASSERT_EQ(runs().size(), 1U);
  EXPECT_EQ(outcome.out, runs().at(0) + "\n");
  EXPECT_EQ(record("runs/" + runs().at(0)).status, RunStatus::kRunning);
  const Outcome attached = run({"runs", "attach", runs().at(0)});
  EXPECT_EQ(attached.code, 0) << attached.err;
  EXPECT_PRED2(contains, attached.out, "accuracy");
  EXPECT_EQ(record("runs/" + runs().at(0)).status, RunStatus::kFinished);
  const Outcome again = run({"runs", "wait", "last"});
  EXPECT_EQ(again.code, 0);
  EXPECT_PRED2(contains, again.err, "has ended");
  EXPECT_EQ(run({"runs", "cancel", "last"}).code, 2);
}

TEST_F(Submission, ARunWithoutARecordOfItsOwnIsListedAndShown) {
  ASSERT_EQ(submit("vm", {"--seed", "7"}, {"--detach"}).code, 0);
  const std::string id = runs().at(0);
  EXPECT_PRED2(contains, run({"runs", "list"}).out, " running\n");
  RunRecord unstarted = record("runs/" + id);
  unstarted.target.erase("started");
  write_run_record(folder_ / "runs" / id / "run.json", unstarted);
  const Outcome list = run({"runs", "list", "--where", "status == 'submitted'"});
  EXPECT_EQ(list.err, "");
  EXPECT_PRED2(contains, list.out, id);
  EXPECT_PRED2(contains, list.out, " submitted\n");
  const Outcome shown = run({"runs", "show", "last"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  for (const char* part : {"status            submitted\n", "seed              7\n", "target            vm\n",
                           "address           vm.example.com\n", "trainer runs attach "})
    EXPECT_PRED2(contains, shown.out, part);
  for (const char* part : {"accuracy", "precision", "fingerprint", "time "})
    EXPECT_FALSE(contains(shown.out, part)) << part;
  const Json json = Json::parse(run({"runs", "list", "--json"}).out)[0];
  EXPECT_EQ(json["status"], "submitted");
  EXPECT_EQ(json["precision"], nullptr);
  EXPECT_EQ(Json::parse(run({"runs", "show", id, "--json"}).out)["status"], "submitted");
  EXPECT_EQ(run({"runs", "wait", "last"}).code, 0);
  EXPECT_PRED2(contains, run({"runs", "list"}).out, " finished\n");
}

TEST_F(Submission, AFailedSubmissionIsListedAndShown) {
  play("ssh-fails", "Host key verification failed.\r\n");
  EXPECT_EQ(submit("vm").code, 1);
  EXPECT_PRED2(contains, run({"runs", "list"}).out, " failed\n");
  const Outcome shown = run({"runs", "show", "last"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_PRED2(contains, shown.out, "status            failed: target vm: ");
  EXPECT_FALSE(contains(shown.out, "runs attach"));
}

TEST_F(Submission, AKilledOrRemovedContainerIsAFailedRun) {
  ASSERT_EQ(submit("vm", {}, {"--detach"}).code, 0);
  const std::string id = runs().at(0);
  play("there/" + id + ".code", "137\n");
  fs::remove_all(folder_ / "play/there/runs");
  EXPECT_EQ(run({"runs", "attach", id}).code, 137);
  EXPECT_EQ(record("runs/" + id).status, RunStatus::kFailed);
  EXPECT_PRED2(contains, record("runs/" + id).reason, "was killed");
  forget_runs();
  ASSERT_EQ(submit("vm", {}, {"--detach"}).code, 0);
  fs::remove_all(folder_ / "play/there");
  const Outcome outcome = run({"runs", "wait", "last"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_PRED2(contains, outcome.err, "not there any more");
  EXPECT_EQ(record("runs/" + runs().at(0)).status, RunStatus::kFailed);
}

TEST_F(Submission, UntrackedRunsLeaveNothing) {
  folder_.write("targets/vm.runconfig", "Target: vm\nTrackedRun: false\n");
  const Outcome outcome = submit("vm", {"--no-save"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "accuracy");
  EXPECT_TRUE(runs().empty());
  EXPECT_EQ(submit("vm", {}, {"--detach"}).code, 2);
}

TEST_F(Submission, ArgumentVectorIsRunWhereNothingElseIsSaid) {
  folder_.write("targets/vm.runconfig", "Target: vm\nArgumentVector: [models, quick]\n");
  const Outcome outcome = run({"submit", "-c", "vm"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "conv");
}

TEST_F(Submission, WrongUsageIsRefusedBeforeAnythingIsAsked) {
  for (const Words& more : {Words{"--out", "x"}, Words{"--resume=last"}})
    expect_one_line(submit("vm", more), 2);
  expect_one_line(run({"submit", "-c", "vm", "--"}), 2);
  expect_one_line(run({"submit", "-c", "vm", "--", "submit"}), 2);
  expect_one_line(run({"submit", "-c", "nowhere", "--", "train"}), 2);
  expect_one_line(submit("local", {}, {"--detach"}), 2);
  folder_.write("targets/vm.compute", "type: remotedocker\naddress: -oProxyCommand=x\n");
  expect_one_line(submit("vm"), 2);
  EXPECT_FALSE(fs::exists(folder_ / "play/ssh.log"));
  ASSERT_EQ(trainer(small_training({"--out", "whole"})).code, 0);
  expect_one_line(run({"runs", "attach", "whole"}), 2);
}

}  // namespace
}  // namespace trainer::test
