// The real program broken off from outside, by signals and by kill -9 at random moments, and gone on with: it
// ends with the bits of an unbroken run, and its folder says the truth at every stage.
#include <fcntl.h>
#include <random>
#include <set>
#include <sys/stat.h>

#include "tests/emulator/sanitizer.hpp"
#include "tests/support/program.hpp"
#include "trainer/train/checkpoint.hpp"

namespace trainer::test {
namespace {

class Interruption : public ProgramTest {
 protected:
  Interruption() { write_network({.optimizer = "adam", .rate = "0.001", .dropout_and_batchnorm = true}); }

  // Lines of the run's metrics so far.
  std::size_t epochs_of(const std::string& run) const {
    std::error_code error;
    const fs::path path = folder_ / run / "metrics.jsonl";
    if (!fs::exists(path, error)) return 0;
    const std::string text = read_text(path);
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  void expect_complete(const std::string& run, std::size_t epochs) {
    EXPECT_EQ(record(run).status, RunStatus::kFinished);
    const std::vector<Json> lines = metrics(run);
    ASSERT_EQ(lines.size(), epochs);
    for (std::size_t i = 0; i < epochs; ++i) EXPECT_EQ(lines[i]["epoch"], i + 1);
    expect_same_tensors(folder_ / run / "model.safetensors", folder_ / "whole/model.safetensors");
    expect_same_tensors(folder_ / run / "checkpoint.safetensors", folder_ / "whole/checkpoint.safetensors");
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_ / run)) names.insert(entry.path().filename());
    EXPECT_EQ(names, (std::set<std::string>{"checkpoint.safetensors", "metrics.jsonl", "model.safetensors",
                                            "output.log", "run.json"}));
  }

  std::mt19937 random_{20};
};

TEST_F(Interruption, ASignalSavesAndTheRunGoesOnWithTheSameBits) {
  const Words length{"--epochs", "60", "--checkpoint-every", "0"};
  const auto training = [&](const std::string& run) {
    Words words = small_training(length);
    words.insert(words.end(), {"--out", run});
    return words;
  };
  ASSERT_EQ(trainer(training("whole")).code, 0);
  for (const int signal : {SIGINT, SIGTERM, SIGINT, SIGTERM}) {
    const std::string run = "run" + std::to_string(random_());
    const std::size_t epochs = random_() % 30;
    ChildProcess child(command(training(run)), options());
    ASSERT_TRUE(wait_until([&] { return fs::exists(folder_ / run / "run.json"); }));
    EXPECT_EQ(record(run).status, RunStatus::kRunning);
    ASSERT_TRUE(wait_until([&] { return epochs_of(run) >= epochs; }));
    child.send(signal);
    const Outcome outcome = child.wait();
    EXPECT_EQ(outcome.code, 128 + signal) << outcome.err;
    EXPECT_EQ(outcome.signal, 0);
    EXPECT_PRED2(contains, outcome.out, "trainer train --resume");
    EXPECT_EQ(record(run).status, RunStatus::kStopped);
    EXPECT_EQ(record(run).reason, "signal");
    EXPECT_LT(epochs_of(run), 60U);
    EXPECT_EQ(trainer({"eval", run, "--data", "data", "--threads", "1"}).code, 0);
    // As the run said: no --data, no --threads.
    const Outcome rest = trainer({"train", "--resume", run});
    EXPECT_EQ(rest.code, 0) << rest.err;
    EXPECT_EQ(rest.err, "");
    expect_complete(run, 60);
  }
}

TEST_F(Interruption, AFinishedRunThatGoesOnStaysAsItIs) {
  ASSERT_EQ(trainer(small_training({"--out", "whole"})).code, 0);
  const Json before = record("whole").results;
  fs::copy(folder_ / "whole", folder_ / "run");
  const Outcome again = trainer({"train", "--resume", "run"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_PRED2(contains, again.out, "accuracy");
  EXPECT_EQ(record("run").results["test"], before["test"]);
  expect_complete("run", 2);
}

TEST_F(Interruption, TheRecordKeepsItsBeginningAndListsEachResumption) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  const RunRecord begun = record("run");
  EXPECT_TRUE(begun.resumed.empty());
  for (std::size_t times = 1; times <= 2; ++times) {
    ASSERT_EQ(trainer({"train", "--resume", "run", "--max-seconds", "60"}).code, 0);
    const RunRecord now = record("run");
    EXPECT_EQ(now.command, begun.command);
    EXPECT_EQ(now.started, begun.started);
    ASSERT_EQ(now.resumed.size(), times);
    EXPECT_EQ(now.resumed.back().command[2], "--resume");
    EXPECT_EQ(now.resumed.back().step, 26U);
  }
}

TEST_F(Interruption, TheSecondsAreThoseOfAllItsParts) {
  ASSERT_EQ(trainer(small_training({"--out", "run", "--max-steps", "7"})).code, 0);
  RunRecord begun = record("run");
  begun.seconds = 5000;
  write_run_record(folder_ / "run/run.json", begun);
  ASSERT_EQ(trainer({"train", "--resume", "run", "--max-steps", "14"}).code, 0);
  const RunRecord now = record("run");
  EXPECT_GT(now.seconds, 5000);
  EXPECT_LT(now.seconds, 9000);
  EXPECT_GT(now.results["seconds"], 5000);
  EXPECT_LT(now.results["seconds"], 9000);
}

TEST_F(Interruption, ARunThatIsBeingWrittenIsNotGoneOnWith) {
  ChildProcess child(command(small_training({"--out", "run", "--epochs", "100000"})), options());
  ASSERT_TRUE(wait_until([&] { return epochs_of("run") >= 2; }));
  expect_one_line(trainer({"train", "--resume", "run"}), 1);
  EXPECT_PRED2(contains, trainer({"train", "--resume", "run"}).err, "another process is writing this run");
  child.send(SIGINT);
  EXPECT_EQ(child.wait().code, 130);
}

TEST_F(Interruption, ATimeLimitStopsTheRunAndItGoesOn) {
  ASSERT_EQ(trainer(small_training({"--out", "whole", "--epochs", "200", "--checkpoint-every", "0"})).code,
            0);
  const Outcome outcome = trainer(small_training(
      {"--out", "run", "--epochs", "200", "--checkpoint-every", "0", "--max-seconds", "0.01"}));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(record("run").status, RunStatus::kStopped);
  EXPECT_EQ(trainer({"train", "--resume", "run", "--checkpoint-every", "0"}).code, 0);
  expect_complete("run", 200);
}

// A pipe that is full and that nobody reads keeps the program in its first lines, however fast or slow the machine is.
TEST_F(Interruption, ASecondSignalEndsAtOnce) {
  ASSERT_EQ(mkfifo(at("full").c_str(), 0600), 0);
  const int pipe = open(at("full").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(pipe, 0);
  const std::string page(4096, ' ');
  while (write(pipe, page.data(), page.size()) > 0) {
  }
  Words words = {"/bin/sh", "-c", "exec \"$@\" > full", "sh"};
  const Words training = command(small_training({"--out", "run", "--epochs", "1"}));
  words.insert(words.end(), training.begin(), training.end());
  ChildProcess child(words, options());
  ASSERT_TRUE(wait_until([&] { return child.ended() || fs::exists(folder_ / "run/run.json"); }));
  child.send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  ASSERT_FALSE(child.ended());
  child.send(SIGTERM);
  ASSERT_TRUE(wait_until([&] { return child.ended(); }));
  const Outcome outcome = child.wait();
  EXPECT_EQ(outcome.code, 143);
  EXPECT_FALSE(fs::exists(folder_ / "run/checkpoint.safetensors"));
  close(pipe);
}

TEST_F(Interruption, KilledAtAnyMomentItLeavesAGoodCheckpoint) {
  const Words training = small_training({"--epochs", "6", "--checkpoint-every", "2steps", "--out"});
  const auto into = [&](const std::string& run) {
    Words words = training;
    words.push_back(run);
    return words;
  };
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(trainer(into("whole")).code, 0);
  const auto length =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  int resumed = 0;
  int while_writing = 0;
  constexpr int kRuns = emulator::kAddressSanitizer ? 10 : 50;
  for (int i = 0; i < kRuns; ++i) {
    const std::string run = "run" + std::to_string(i);
    SCOPED_TRACE(run);
    ChildProcess child(command(into(run)), options());
    // Every fifth is killed in the middle of writing.
    if (i % 5 == 0) {
      const fs::path partial = folder_ / run / ".checkpoint.safetensors.partial";
      wait_until([&] { return fs::exists(partial) || child.ended(); });
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(random_() % length.count()));
    }
    child.send(SIGKILL);
    child.wait();
    const fs::path checkpoint = folder_ / run / "checkpoint.safetensors";
    while_writing += fs::exists(folder_ / run / ".checkpoint.safetensors.partial") ? 1 : 0;
    if (!fs::exists(checkpoint)) continue;
    ASSERT_NO_THROW(static_cast<void>(read_saved_network(SafetensorsFile::read(checkpoint))));
    const Outcome rest = trainer({"train", "--resume", run, "--checkpoint-every", "0"});
    ASSERT_EQ(rest.code, 0) << rest.err;
    expect_complete(run, 6);
    ++resumed;
  }
  EXPECT_GE(resumed, kRuns / 5);
  RecordProperty("resumed", resumed);
  RecordProperty("killed_while_writing", while_writing);
}

}  // namespace
}  // namespace trainer::test
