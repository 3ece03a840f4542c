// Event files of the real program: TensorBoard's own package reads what metrics.jsonl says; a killed, resumed or failed run leaves
// files that can be read; an export replaces its own file and nothing else.
#include <random>

#include "tests/support/event_file_reader.hpp"
#include "tests/support/program.hpp"
#include "trainer/store/run_folder.hpp"

namespace trainer::test {
namespace {

class TensorBoard : public ProgramTest {
 protected:
  // The messages of all event files in a folder, which begin as they should.
  std::vector<std::string> messages_in(const std::string& folder) const {
    std::vector<std::string> all;
    for (const std::string& name : event_files(folder_ / folder)) {
      const EventFile file = read_event_file(read_text(folder_ / folder / name));
      EXPECT_FALSE(file.damaged) << name;
      if (!file.messages.empty()) {
        EXPECT_PRED2(contains, file.messages[0], "brain.Event:2");
      }
      all.insert(all.end(), file.messages.begin(), file.messages.end());
    }
    return all;
  }

  static std::size_t count(const std::vector<std::string>& messages, const std::string& part) {
    return static_cast<std::size_t>(
        std::ranges::count_if(messages, [&](const std::string& each) { return contains(each, part); }));
  }

  void expect_read(const std::string& words) const {
    const Outcome outcome =
        shell(python_ + " " + TRAINER_SOURCE_DIR "/tests/tensorboard/read_events.py " + words);
    EXPECT_EQ(outcome.code, 0) << words << "\n" << outcome.err;
  }

  bool lacks_package() const { return shell(python_ + " -c 'import tensorboard, safetensors'").code != 0; }

  const std::string python_ = std::getenv("TRAINER_PYTHON") ? std::getenv("TRAINER_PYTHON") : "python3";
};

TEST_F(TensorBoard, ItsPackageReadsEveryValue) {
  if (lacks_package())
    GTEST_SKIP() << "no tensorboard for " << python_
                 << "; name an interpreter that has it with TRAINER_PYTHON";
  write_network({.dropout_and_batchnorm = true});
  ASSERT_EQ(trainer(small_training({"--tensorboard", "--validation", "20", "--out", "runs/a"})).code, 0);
  ASSERT_EQ(trainer(small_training({"--out", "runs/b", "--lr", "0.01"})).code, 0);
  ASSERT_EQ(trainer({"sprint", "--model", "small.yaml", "--data", "data", "--seeds", "3", "--threads", "1",
                     "--no-process", "--tensorboard", "--out", "runs/c"})
                .code,
            0);
  ASSERT_EQ(trainer(small_training({"--tensorboard", "--max-steps", "17", "--out", "runs/d"})).code, 0);
  ASSERT_EQ(trainer({"train", "--resume", "runs/d"}).code, 0);
  EXPECT_EQ(event_files(folder_ / "runs/d").size(), 2U);
  const Outcome outcome = trainer({"runs", "export", "a", "b", "runs/c", "d", "--tensorboard", "out"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  for (const char* run : {"a", "c", "d"}) expect_read(std::string("runs/") + run);
  for (const char* run : {"a", "b", "c", "d"}) expect_read(std::string("runs/") + run + " out");
  const Outcome wrong = shell("sed -i '$s/\"test_loss\":/\"test_loss\":1/' runs/a/metrics.jsonl && " +
                              python_ + " " TRAINER_SOURCE_DIR "/tests/tensorboard/read_events.py runs/a");
  EXPECT_NE(wrong.code, 0) << "a value that differs is found";
}

TEST_F(TensorBoard, AKilledRunLeavesWholeEventsAndGoesOnInAFileOfItsOwn) {
  std::mt19937 random(5);
  for (int trial = 0; trial < 4; ++trial) {
    const std::string run = "run" + std::to_string(trial);
    ChildProcess child(command(small_training(
                           {"--epochs", "300", "--tensorboard", "--checkpoint-every", "5", "--out", run})),
                       options());
    const std::size_t least = 1 + random() % 40;
    ASSERT_TRUE(wait_until([&] { return count(messages_in(run), "loss/test") >= least; }));
    child.send(SIGKILL);
    ASSERT_EQ(child.wait().signal, SIGKILL);
    const std::size_t lines = metrics(run).size(), told = count(messages_in(run), "loss/test");
    EXPECT_TRUE(told == lines || told + 1 == lines) << told << " of " << lines;
    if (!fs::exists(folder_ / run / "checkpoint.safetensors")) continue;
    // As if within a write, of an event that no checkpoint has followed yet.
    const fs::path file = folder_ / run / event_files(folder_ / run).at(0);
    if (told % 5 != 0) fs::resize_file(file, fs::file_size(file) - random() % 40);
    const std::uint64_t epochs = lines + 3;
    ASSERT_EQ(trainer({"train", "--resume", run, "--epochs", std::to_string(epochs)}).code, 0);
    ASSERT_EQ(event_files(folder_ / run).size(), 2U);
    EXPECT_EQ(count(messages_in(run), "_hparams_/session_start_info"), 1U) << "the first file has it";
    if (!lacks_package()) expect_read(run);
  }
}

TEST_F(TensorBoard, EventsThatBeginWithAResumptionHaveTheEarlierEpochs) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  EXPECT_TRUE(event_files(folder_ / "run").empty());
  ASSERT_EQ(trainer({"train", "--resume", "run", "--epochs", "4", "--tensorboard"}).code, 0);
  EXPECT_EQ(count(messages_in("run"), "loss/test"), 4U);
}

// Where lines are counted, the counters are written after main, which may then exceed the limit, too: they go elsewhere.
TEST_F(TensorBoard, ADiskThatIsFullEndsTheRunAndKeepsItsCheckpoint) {
  const Outcome full = shell(
      "trap '' XFSZ; export GCOV_PREFIX=$PWD/counters; ulimit -f 160; exec $T train --model small.yaml "
      "--data data --threads 1 --epochs 300 "
      "--tensorboard --out run");
  EXPECT_EQ(full.code, 1);
  EXPECT_PRED2(contains, full.err, "appending an event failed: File too large");
  EXPECT_EQ(record("run").status, RunStatus::kFailed);
  const EventFile file = read_event_file(read_text(folder_ / "run" / event_files(folder_ / "run").at(0)));
  EXPECT_FALSE(file.damaged);
  EXPECT_EQ(file.left, 0U) << "the beginning of the event that did not fit is taken back";
  EXPECT_EQ(trainer({"train", "--resume", "run", "--max-steps", "1"}).code, 0);
}

TEST_F(TensorBoard, ARequeuedJobBeginsAnew) {
  folder_.write("run/events.out.tfevents.1.host.1", "");
  folder_.write("run/run.json", "{}");
  const Outcome outcome = trainer(small_training({"--tensorboard", "--resume-if-there", "--out", "run"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(event_files(folder_ / "run").size(), 1U);
}

TEST_F(TensorBoard, OtherCommandsDoNotMindEventFiles) {
  ASSERT_EQ(trainer(small_training({"--tensorboard", "--out", "runs/a"})).code, 0);
  const Outcome list = trainer({"runs", "list"});
  EXPECT_PRED2(contains, list.out, "finished");
  EXPECT_EQ(list.err, "");
  EXPECT_EQ(trainer({"runs", "report", "a"}).code, 0);
  EXPECT_EQ(trainer({"runs", "bundle", "a", "-o", "a.tar.gz"}).code, 0);
  EXPECT_PRED2(contains, trainer({"runs", "show", "a"}).out, "events.out.tfevents.");
}

TEST_F(TensorBoard, AnExportReplacesItsOwnFileAndNoOther) {
  ASSERT_EQ(trainer(small_training({"--tensorboard", "--out", "runs/a"})).code, 0);
  for (int time = 0; time < 2; ++time)
    ASSERT_EQ(trainer({"runs", "export", "a", "--tensorboard", "out"}).code, 0);
  EXPECT_EQ(event_files(folder_ / "out/a").size(), 1U);
  const auto refused = [&](const Words& words, const std::string& part) {
    Words all{"runs", "export"};
    all.insert(all.end(), words.begin(), words.end());
    const Outcome outcome = trainer(all);
    EXPECT_EQ(outcome.code, 1) << outcome.err;
    EXPECT_PRED2(contains, outcome.err, part);
  };
  refused({"a", "--tensorboard", "runs"}, "holds events of its own");
  ASSERT_EQ(trainer(small_training({"--out", "third/a"})).code, 0);
  const Outcome twice = trainer({"runs", "export", "runs/a", "third/a", "--tensorboard", "out"});
  EXPECT_EQ(twice.code, 2);
  EXPECT_PRED2(contains, twice.err, "two of these runs are named a");
  for (const char* folder : {"/dev/full", "/proc/x", "small.yaml"})
    refused({"a", "--tensorboard", folder}, std::string("cannot make ") + (*folder == '/' ? folder : ""));
  refused({"none", "--tensorboard", "out"}, "no run or file 'none'");
  EXPECT_EQ(trainer({"runs", "export", "a"}).code, 2);
  EXPECT_EQ(trainer({"train", "--tensorboard", "--no-save"}).code, 2);
}

TEST_F(TensorBoard, ARunWithoutMetricsOrWeightsIsExportedWithANote) {
  ASSERT_EQ(trainer(small_training({"--out", "runs/a"})).code, 0);
  for (const char* name : {"metrics.jsonl", "model.safetensors", "checkpoint.safetensors"})
    fs::remove(folder_ / "runs/a" / name);
  const Outcome outcome = trainer({"runs", "export", "a", "--tensorboard", "out"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_PRED2(contains, outcome.err, "note: a without all of its weights and pictures: ");
  const std::vector<std::string> messages = messages_in("out/a");
  EXPECT_EQ(count(messages, "recipe"), 1U);
  EXPECT_EQ(count(messages, "loss/test"), 0U);
}

TEST_F(TensorBoard, RanksWriteOneFile) {
  const bool has_plugin = fs::exists(fs::path(TRAINER_BINARY).parent_path() / "libmnist-trainer-openmpi.so");
  if (!has_plugin || shell("mpirun.openmpi --version").code != 0)
    GTEST_SKIP() << "no Open MPI here: it is not tried";
  const Outcome outcome =
      trainer(small_training({"--tensorboard", "--ranks", "2", "--device", "cpu", "--out", "run"}),
              {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(event_files(folder_ / "run").size(), 1U);
  EXPECT_EQ(count(messages_in("run"), "loss/test"), 2U);
}

}  // namespace
}  // namespace trainer::test
