// `weights: ema` as a user meets it: a run's record, its files, and what reads them.
#include <algorithm>

#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class AveragedRun : public ProgramTest {
 protected:
  AveragedRun() {
    write_network({.optimizer = "adam",
                   .rate = "0.01",
                   .dropout_and_batchnorm = true,
                   .more_recipe = "  weights: {ema: 0.9}\n"});
    const Outcome outcome = trainer({"train", "--model", "small.yaml", "--data", "data", "--threads", "1",
                                     "--validation", "20", "--bits", "portable", "--out", "run"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
  }
  double loss_of(const std::string& run) const {
    const Outcome outcome = trainer({"eval", run, "--data", "data", "--threads", "1", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out).at("loss").get<double>();
  }
};

TEST_F(AveragedRun, SaysItAndIsEvaluatedWithItsAveragesFromModelAndCheckpoint) {
  const RunRecord run = record("run");
  EXPECT_EQ(run.recipe.at("weights"), (Json{{"ema", 0.9}}));
  const double loss = loss_of("run");
  EXPECT_NEAR(loss, run.results.at("test").at("loss").get<double>(), 1e-6);
  EXPECT_EQ(loss_of("run/checkpoint.safetensors"), loss);
  const SafetensorsFile model = SafetensorsFile::read(folder_ / "run/model.safetensors");
  const SafetensorsFile checkpoint = SafetensorsFile::read(folder_ / "run/checkpoint.safetensors");
  for (const Tensor& tensor : model.tensors()) {
    const auto averages = checkpoint.require(tensor.name + ".ema", tensor.shape);
    const auto values = checkpoint.require(tensor.name, tensor.shape);
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, averages)) << tensor.name;
    EXPECT_FALSE(std::ranges::equal(values, averages)) << tensor.name;
  }
}

TEST_F(AveragedRun, ExportsAndStartsOthersFromItsAverages) {
  for (const std::string file : {"run", "run/checkpoint.safetensors"}) {
    const std::string out = file == "run" ? "a.safetensors" : "b.safetensors";
    const Outcome outcome = trainer({"export", file, "--layout", "torch", "-o", out});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
  }
  expect_same_tensors(folder_ / "a.safetensors", folder_ / "b.safetensors");
  write_network({.dropout_and_batchnorm = true});  // without the word
  for (const std::string from : {"run", "run/checkpoint.safetensors"}) {
    Words words = small_training({"--from", from, "--epochs", "1", "--max-steps", "1"});
    const std::string out = from == "run" ? "c" : "d";
    words.insert(words.end(), {"--out", out});
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
  }
  expect_same_tensors(folder_ / "c/model.safetensors", folder_ / "d/model.safetensors");
}

}  // namespace
}  // namespace trainer::test
