// A training that was broken off and goes on ends with the bits of one that was not; a file that is not what
// it should be is refused with the reason.
#include "trainer/train/checkpoint.hpp"

#include <gtest/gtest.h>

#include "tests/support/program.hpp"
#include "tests/train/broken_training.hpp"

namespace trainer::test {
namespace {

TEST(Checkpoint, GoesOnWithTheSameBitsUnderEveryOptimiser) {
  for (const char* optimizer :
       {"sgd", "{sgd: {momentum: 0.9}}", "{sgd: {momentum: {0: 0, 1: 0.9}, unit_gain: true}}", "adam",
        "adamw", "adadelta"}) {
    SCOPED_TRACE(optimizer);
    BrokenTraining training({.network = {.optimizer = optimizer, .dropout_and_batchnorm = true}});
    training.expect_same_when_stopped(5);
    training.expect_same_when_stopped(14);
  }
}

TEST(Checkpoint, GoesOnFromEveryPlaceInAnEpoch) {
  for (const char* last_batch : {"mask", "drop"}) {
    BrokenTraining training(
        {.network = {.batch = 64, .last_batch = last_batch, .dropout_and_batchnorm = true}});
    const std::size_t steps = std::string(last_batch) == "mask" ? 8 : 6;
    for (std::size_t stop = 0; stop <= steps; ++stop) training.expect_same_when_stopped(stop);
  }
}

TEST(Checkpoint, GoesOnInsideABatchThatWraps) {
  BrokenTraining training({.network = {.batch = 64,
                                       .length = "steps: 10",
                                       .last_batch = "wrap",
                                       .dropout_and_batchnorm = true,
                                       .more_recipe = "  schedule: {exponential: {decay: 0.9}}\n"}});
  for (const std::size_t stop : {1U, 3U, 4U, 5U, 7U, 10U}) training.expect_same_when_stopped(stop);
}

TEST(Checkpoint, SavedAtItsIntervalsGoesOnWithTheSameBits) {
  const SmallTraining training{.network = {.dropout_and_batchnorm = true}};
  TrainingTrial whole(training);
  whole.on_checkpoint = [&](const LoopPosition& position) {
    whole.save(whole.folder() / std::to_string(position.step), position);
  };
  whole.run({.checkpoint_steps = 6});
  ASSERT_EQ(whole.checkpoints.size(), 4U);
  for (const LoopPosition& position : whole.checkpoints) {
    TrainingTrial second(training);
    second.run_from(second.load(whole.folder() / std::to_string(position.step)));
    EXPECT_EQ(state_of(second.network()), state_of(whole.network())) << position.step;
  }
}

TEST(Checkpoint, KeepsWhereTheTrainingWas) {
  TrainingTrial trial({.network = {.length = "epochs: 3"}});
  trial.stop_after = 20;
  const LoopResult result = trial.run();
  LoopPosition position = result.position;
  EXPECT_GT(position.epoch_seconds, 0);
  position.epoch_seconds = 1234.5;
  const fs::path file = trial.folder() / "checkpoint";
  trial.save(file, position);
  const StepState before = trial.network().read_training_state();
  TrainingTrial second({.network = {.length = "epochs: 3"}});
  const LoopPosition loaded = second.load(file);
  EXPECT_EQ(loaded.step, 20U);
  EXPECT_EQ(loaded.epochs, 1U);
  EXPECT_EQ(loaded.epoch_seconds, 1234.5);
  const StepState after = second.network().read_training_state();
  EXPECT_EQ(after.loss_sum, before.loss_sum);
  EXPECT_EQ(after.correct, before.correct);
  EXPECT_EQ(after.images, before.images);
  second.run_from(loaded);
  ASSERT_EQ(second.epochs.size(), 2U);
  EXPECT_GE(second.epochs[0].seconds, 1234.5) << "the whole epoch's";
  EXPECT_LT(second.epochs[1].seconds, 1234.5) << "its own";
}

TEST(Checkpoint, LoadingChangesNothingWhenATensorIsMissing) {
  TrainingTrial adam({.network = {.optimizer = "adam"}});
  adam.run();
  const fs::path file = adam.folder() / "checkpoint";
  adam.save(file, {});
  TrainingTrial other({.network = {.optimizer = "adadelta"}});
  const std::vector<float> before = state_of(other.network());
  EXPECT_THROW(other.load(file), std::runtime_error);
  EXPECT_EQ(state_of(other.network()), before);
}

class SavedFile : public ProgramTest {
 protected:
  SavedFile() {
    EXPECT_EQ(trainer(small_training({"--out", "run"})).code, 0);
    folder_.write("picture.bmp", "BM");
  }

  // Writes the run's checkpoint again, with another value under `key` of its metadata and a right hash.
  void rewrite(const std::string& key, const std::string& value) {
    const SafetensorsFile file = SafetensorsFile::read(folder_ / "run/checkpoint.safetensors");
    Metadata metadata = file.metadata();
    metadata.erase(std::string(kContentHashKey));
    metadata[key] = value;
    write_safetensors(folder_ / "changed/checkpoint.safetensors", file.tensors(), metadata);
  }

  // The commands that read a saved network, asked for `name`, which must be refused for `reason`.
  void expect_refused(const std::string& name, const std::string& reason) {
    for (const Words& words : {Words{"eval", name, "--data", "data"}, Words{"predict", name, "picture.bmp"},
                               Words{"train", "--resume", name, "--data", "data"}}) {
      const Outcome outcome = trainer(words);
      SCOPED_TRACE(words[0] + " " + name + ": " + outcome.err);
      EXPECT_TRUE(outcome.code == 1 || outcome.code == 2) << outcome.code;
      EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1);
      EXPECT_PRED2(contains, outcome.err, reason);
      EXPECT_EQ(outcome.out, "");
    }
  }

  void expect_changed_refused(const std::string& key, const std::string& value, const std::string& reason) {
    fs::create_directories(folder_ / "changed");
    rewrite(key, value);
    expect_refused("changed/checkpoint.safetensors", reason);
  }
};

TEST_F(SavedFile, DamagedOrForeignIsRefusedWithTheReason) {
  const std::vector<std::uint8_t> whole = read_bytes(folder_ / "run/checkpoint.safetensors");
  std::vector<std::uint8_t> damaged = whole;
  damaged[damaged.size() - 5] ^= 1;
  folder_.write("damaged/checkpoint.safetensors", damaged);
  expect_refused("damaged", "hash");
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{100}, whole.size() - 1}) {
    folder_.write("cut/checkpoint.safetensors", std::span(whole).first(size));
    expect_refused("cut", "checkpoint.safetensors");
  }
  folder_.write("text/checkpoint.safetensors", "this is a text of some length, and no network at all");
  expect_refused("text/checkpoint.safetensors", "checkpoint.safetensors");
  expect_refused("data", "run.json");
  expect_refused("nowhere", "nowhere");
  const std::vector<float> values{1, 2};
  const Tensor tensor{"w", {2}, std::as_bytes(std::span(values))};
  write_safetensors(folder_ / "foreign.safetensors", {&tensor, 1}, {{"format", "pt"}});
  expect_refused("foreign.safetensors", "not one of this program");
}

TEST_F(SavedFile, NewerOrOtherwiseChangedIsRefusedWithTheReason) {
  expect_changed_refused("version", "2", "version 2");
  expect_changed_refused("spec", small_network({.dropout_and_batchnorm = true}), "batchnorm1");
  expect_changed_refused("image", "[28,28,1]", "checkpoint.safetensors: ");
  expect_changed_refused("classes", "3", "checkpoint.safetensors: ");
}

TEST_F(SavedFile, NumbersThatMakeNoSenseAreRefused) {
  expect_changed_refused("classes", "-1", "classes");
  expect_changed_refused("classes", "x", "metadata");
  expect_changed_refused("image", "[0,12,1]", "height");
  expect_changed_refused("image", "[12,2000000000,1]", "width");
  expect_changed_refused("image", "{}", "metadata");
  expect_changed_refused("image", "[12,1e300,1]", "1e+300 is not a whole number that fits");
  expect_changed_refused("image", "[12,4294967308,1]", "4294967308 is not a whole number that fits");
  expect_changed_refused("position", R"({"step":1e300,"passes":0,"pass_seconds":0})",
                         "1e+300 is not a whole number that fits");
  expect_changed_refused("fit", "sketch", "'fit' is 'sketch'");
  expect_changed_refused("scaling", R"({"scale":"nan","shift":"0x0p+0"})", "finite");
  expect_changed_refused("settings", R"({"seed":1,"batch":0,"channels":1,"skip_bad_images":false})", "batch");
  expect_changed_refused("settings", R"({"seed":1,"channels":9,"skip_bad_images":false})", "channels");
  expect_changed_refused("settings", R"({"seed":1,"epochs":1000001,"channels":1,"skip_bad_images":false})",
                         "'epochs' is 1000001, not 1 to 1000000");
  expect_changed_refused("settings", "[[[", "metadata");
  expect_changed_refused("position", "{}", "metadata");
  expect_changed_refused("spec", "layers: [", "spec");
}

TEST_F(SavedFile, OpensInPython) {
  const char* given = std::getenv("TRAINER_PYTHON");
  const std::string python = given != nullptr ? given : "python3";
  if (shell(python + " -c 'import safetensors.numpy'").code != 0)
    GTEST_SKIP() << "no safetensors for " << python
                 << "; name an interpreter that has it with TRAINER_PYTHON";
  folder_.write("read.py", R"(
import hashlib, json, sys
from safetensors import safe_open
path = sys.argv[1]
with safe_open(path, "numpy") as f:
    m = f.metadata()
    data = open(path, "rb").read()
    digits = m["content_sha256"].encode()
    assert hashlib.sha256(data.replace(digits, b"0" * 64, 1)).hexdigest().encode() == digits
    assert m["format"] == "mnist-trainer" and json.loads(m["settings"])["seed"] == 1
    print(f.get_tensor("conv1.weight").shape, f.get_tensor("dense2.bias").sum() != 0, len(f.keys()))
)");
  for (const auto& [name, tensors] : {std::pair{"model", 6}, std::pair{"checkpoint", 12}}) {
    const Outcome outcome = shell(python + " read.py run/" + name + ".safetensors");
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_PRED2(contains, outcome.out, "True " + std::to_string(tensors));
  }
}

}  // namespace
}  // namespace trainer::test
