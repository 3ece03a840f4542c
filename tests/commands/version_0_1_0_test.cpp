// What version 0.1.0 wrote still opens: runs are listed, shown, compared, reported and gone on with, a model is tested, a
// target is read (tests/golden/version_0.1.0).
#include <cstring>

#include "tests/data/png_writer.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class VersionZeroOneZero : public ProgramTest {
 protected:
  VersionZeroOneZero() {
    fs::copy(TRAINER_SOURCE_DIR "/tests/golden/version_0.1.0", folder_.path(), fs::copy_options::recursive);
  }

  Json json(Words words) const {
    words.emplace_back("--json");
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false);
  }
};

// The engine of another machine, or version, rounds otherwise. The gradient of a bias before a batch normalisation is nothing but
// rounding, of which Adam makes steps of the whole rate, 0.002 in each of 32 steps; the running mean follows the bias.
void expect_close_tensors(const fs::path& a, const fs::path& b) {
  const SafetensorsFile first = SafetensorsFile::read(a);
  const SafetensorsFile second = SafetensorsFile::read(b);
  ASSERT_EQ(first.tensors().size(), 10U);
  for (const Tensor& tensor : first.tensors()) {
    const auto other = second.require(tensor.name, tensor.shape);
    const bool follows_rounding = tensor.name == "conv1.bias" || tensor.name.ends_with("running_mean");
    for (std::size_t at = 0; at < other.size(); at += sizeof(float)) {
      float x = 0;
      float y = 0;
      std::memcpy(&x, &tensor.bytes[at], sizeof(float));
      std::memcpy(&y, &other[at], sizeof(float));
      ASSERT_NEAR(x, y, follows_rounding ? 0.064 : 2e-3) << tensor.name << " at " << at / sizeof(float);
    }
  }
}

TEST_F(VersionZeroOneZero, ItsRunsAreListed) {
  const Json runs = json({"runs", "list", "--sort", "accuracy"});
  ASSERT_EQ(runs.size(), 3U);
  const auto row = [&](const std::string& id) {
    return *std::find_if(runs.begin(), runs.end(), [&](const Json& run) { return run["id"] == id; });
  };
  EXPECT_EQ(row("stopped")["status"], "stopped");
  EXPECT_EQ(row("stopped")["reason"], "time limit");
  EXPECT_EQ(row("stopped")["accuracy"], 0.93);
  EXPECT_EQ(row("stopped")["loss"], 0.8818889751285315);
  EXPECT_EQ(row("stopped")["validation_accuracy"], 0.9);
  EXPECT_EQ(row("stopped")["epochs"], 3);
  EXPECT_EQ(row("stopped")["epoch_seconds"], 0.000750289);
  EXPECT_EQ(row("finished")["status"], "finished");
  EXPECT_EQ(row("finished")["accuracy"], 0.96);
  EXPECT_EQ(row("sprint")["accuracy"], 0.35);
  EXPECT_EQ(row("sprint")["images_per_second"], 142123.8855257301);
}

TEST_F(VersionZeroOneZero, ItsRunsAreShown) {
  const Json stopped = json({"runs", "show", "stopped"});
  EXPECT_EQ(stopped["record"]["commit"], "ba8c4b6249f6");
  ASSERT_EQ(stopped["epochs"].size(), 3U);
  const Json& epoch = stopped["epochs"][1];
  EXPECT_EQ(epoch["epoch"], 2);
  EXPECT_EQ(epoch["step"], 20);
  EXPECT_EQ(epoch["images"], 160);
  EXPECT_EQ(epoch["train_loss"], 1.0888682241551577);
  EXPECT_EQ(epoch["test_accuracy"], 0.5);
  EXPECT_EQ(epoch["test_loss"], 1.161434975862503);
  EXPECT_EQ(epoch["validation_accuracy"], 0.525);
  EXPECT_EQ(epoch["validation_loss"], 1.1417784333229064);
  EXPECT_EQ(epoch["learning_rate"], 0.0020000000949949026);
  EXPECT_EQ(epoch["seconds"], 0.000647496);
  EXPECT_EQ(epoch["evaluation_seconds"], 0.000151897);
  EXPECT_EQ(json({"runs", "show", "finished"})["record"]["resumed"][0]["step"], 32);
  EXPECT_EQ(json({"runs", "show", "sprint"})["epochs"].size(), 2U);
  const Outcome text = trainer({"runs", "show", "sprint"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_PRED2(contains, text.out, "2 seeds: mean 35.000 +- 10.000 %");
}

TEST_F(VersionZeroOneZero, ItsRunsAreComparedAndReported) {
  const Json compared = json({"runs", "compare", "stopped", "finished", "sprint"});
  ASSERT_EQ(compared["runs"].size(), 3U);
  EXPECT_FALSE(compared["differences"].empty());
  const Outcome text = trainer({"runs", "compare", "stopped", "finished"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_PRED2(contains, text.out, "93.00 %");
  EXPECT_PRED2(contains, text.out, "96.00 %");
  const Outcome report = trainer({"runs", "report", "finished", "--data", "data", "--out", "page.html"});
  EXPECT_EQ(report.code, 0) << report.err;
  EXPECT_PRED2(contains, read_text(folder_ / "page.html"), "96.00");
}

TEST_F(VersionZeroOneZero, ItsModelIsTested) {
  const Json tested = json({"eval", "finished", "--data", "data", "--threads", "1"});
  EXPECT_EQ(tested["model"], "small");
  EXPECT_NEAR(tested["accuracy"].get<double>(), 0.96, 0.011);
}

TEST_F(VersionZeroOneZero, ItsModelDoesNotSayHowItsImagesAreFramed) {
  folder_.write("blank.png", encode_png({12, 12, 1, std::vector<std::uint8_t>(144, 255)}));
  const Outcome asked = trainer({"predict", "finished", "blank.png", "--threads", "1"});
  expect_one_line(asked, 2);
  EXPECT_PRED2(contains, asked.err, "--fit");
  EXPECT_EQ(trainer({"predict", "finished", "blank.png", "--threads", "1", "--fit", "picture"}).code, 0);
}

TEST_F(VersionZeroOneZero, ItsCheckpointGoesOnToWhereItsOwnProgramWent) {
  const Outcome outcome = trainer({"train", "--resume", "stopped", "--data", "data", "--threads", "1"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const RunRecord now = record("runs/stopped");
  EXPECT_EQ(now.status, RunStatus::kFinished);
  EXPECT_EQ(now.started, record("runs/finished").resumed.at(0).started);
  ASSERT_EQ(now.resumed.size(), 1U);
  EXPECT_EQ(now.resumed[0].step, 32U);
  const std::vector<Json> lines = metrics("runs/stopped");
  ASSERT_EQ(lines.size(), 4U);
  const std::string before =
      read_text(TRAINER_SOURCE_DIR "/tests/golden/version_0.1.0/runs/stopped/metrics.jsonl");
  EXPECT_EQ(read_text(folder_ / "runs/stopped/metrics.jsonl").substr(0, before.size()), before);
  const std::vector<Json> whole = metrics("runs/finished");
  for (const auto& [key, value] : whole[3].items()) {
    ASSERT_TRUE(lines[3].contains(key)) << key;
    if (key.find("second") == std::string::npos) {
      EXPECT_NEAR(lines[3][key].get<double>(), value.get<double>(), 0.02) << key;
    }
  }
  expect_close_tensors(folder_ / "runs/stopped/model.safetensors",
                       folder_ / "runs/finished/model.safetensors");
}

TEST_F(VersionZeroOneZero, ItsTargetIsRead) {
  const Json target = json({"target", "show", "gpu-vm"});
  EXPECT_EQ(target["type"], "remotedocker");
  EXPECT_EQ(target["address"], "vm.example.com");
  EXPECT_EQ(target["username"], "me");
  EXPECT_EQ(target["port"], 2222);
  EXPECT_EQ(target["image"], "mnist-trainer:latest");
  EXPECT_EQ(target["gpus"], "0,1");
  EXPECT_EQ(target["arguments"], Json::array({"train"}));
  EXPECT_EQ(target["tracked_run"], true);
}

}  // namespace
}  // namespace trainer::test
