// trainer runs rerun, diff and promote, and the names of registered networks, as a user meets them.
#include "data/dataset.hpp"
#include "tests/support/program.hpp"
#include "trainer/runs/drift.hpp"
#include "trainer/system/errors.hpp"

namespace trainer::test {
namespace {

class Rerun : public ProgramTest {
 protected:
  void train(const Words& more = {}) const {
    const Outcome outcome = trainer(small_training(more));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  Json rerun(const std::string& run, int code, const Words& more = {}) const {
    Words words{"runs", "rerun", run, "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, code) << outcome.err << outcome.out;
    return outcome.out.empty() ? Json() : json_lines(outcome.out).back();
  }
};

TEST_F(Rerun, TrainsTheSameBitsFromTheRecordAlone) {
  train({"--out", "run", "--limit-train", "120", "--validation", "40", "--epochs", "3", "--seed", "9"});
  folder_.write("small.yaml", "no network any more");
  const Json drift = rerun("run", 0);
  EXPECT_EQ(drift["event"], "drift");
  EXPECT_EQ(drift["differences"], Json::array());
  EXPECT_EQ(drift["weights"]["same_bits"], true);
  EXPECT_EQ(drift["record"], nullptr);
  const std::string again = drift["run"];
  EXPECT_EQ(read_bytes(folder_ / "runs" / again / "model.safetensors"),
            read_bytes(folder_ / "run/model.safetensors"));
  EXPECT_EQ(rerun(again, 0)["weights"]["same_bits"], true) << "a rerun can be rerun";

  const Outcome text = trainer({"runs", "rerun", "run", "--quiet", "--out", "third"});
  EXPECT_EQ(text.code, 0);
  for (const char* part : {"A  run\nB  third\n", "configuration and machine do not differ\n",
                           "weights       the same bits\n", "record        no record of this network"})
    EXPECT_PRED2(contains, text.out, part);
  EXPECT_EQ(std::ranges::count(record("third").command, "--out"), 0) << "it is not in the first one's folder";
}

TEST_F(Rerun, TellsWhatDrifted) {
  train({"--out", "run"});
  write_small_data(folder_, {.seed = 8});
  const Json drift = rerun("run", 3);
  EXPECT_EQ(drift["differences"][0]["name"], "data.fingerprint");
  EXPECT_EQ(drift["weights"]["same_bits"], false);
  EXPECT_EQ(drift["weights"]["tensors"][0]["name"], "conv1.weight");
  EXPECT_GT(drift["weights"]["tensors"][0]["largest_change"], 0);
  EXPECT_EQ(drift["status"], 3);
  const Outcome text = trainer({"runs", "rerun", "run", "--quiet"});
  EXPECT_EQ(text.code, 3);
  EXPECT_PRED2(contains, text.out, "conv1.weight differs first (");
}

// A checkpoint has the averages that tests use beside the weights, a model file alone.
TEST_F(Rerun, MovingAveragesAreComparedWhereAFileHasThem) {
  const auto file = [&](const char* name,
                        const std::vector<std::pair<const char*, std::vector<float>>>& all) {
    std::vector<Tensor> tensors;
    for (const auto& [tensor, values] : all)
      tensors.push_back({tensor, {values.size()}, std::as_bytes(std::span(values))});
    write_safetensors(folder_ / name, tensors, {});
    return SafetensorsFile::read(folder_ / name);
  };
  const SafetensorsFile model = file("model.safetensors", {{"a.weight", {2, 3}}});
  const SafetensorsFile checkpoint =
      file("checkpoint.safetensors",
           {{"a.weight", {1, 1}}, {"a.weight.adam_m", {7, 7}}, {"a.weight.ema", {2, 3}}});
  const std::vector<TensorDifference> same = weight_differences(checkpoint, model);
  ASSERT_EQ(same.size(), 1U);
  EXPECT_EQ(same[0].name, "a.weight");
  EXPECT_EQ(same[0].different, 0U);
  const SafetensorsFile broken = file("broken.safetensors", {{"a.weight", {1, 1}}, {"a.weight.ema", {2}}});
  EXPECT_THROW(weight_differences(model, broken), FileError);
}

TEST_F(Rerun, EndsWhereTheRunEnded) {
  train({"--out", "cut", "--epochs", "4", "--max-steps", "20"});
  EXPECT_EQ(rerun("cut", 0)["weights"]["same_bits"], true);
  ASSERT_EQ(trainer({"train", "--resume", "cut", "--threads", "1"}).code, 0);
  EXPECT_EQ(rerun("cut", 0)["weights"]["same_bits"], true) << "all of a run in parts";
  ASSERT_EQ(trainer({"train", "--resume", "cut", "--threads", "1", "--epochs", "6"}).code, 0);
  EXPECT_PRED2(contains, trainer({"runs", "rerun", "cut", "--quiet"}).out, "resumed       A, 2 times: ");
  train({"--out", "late", "--epochs", "4000", "--max-seconds", "1"});
  EXPECT_EQ(rerun("late", 0)["weights"]["same_bits"], true) << "the steps count, not the time";
}

TEST_F(Rerun, KnowsRunsOfOtherWordsToo) {
  train({"--out", "first"});
  train({"--out", "from", "--from", "first"});
  EXPECT_EQ(rerun("from", 0)["weights"]["same_bits"], true);
  folder_.write("more.yaml", "epochs: 3\nbatch: 20\n");
  ASSERT_EQ(trainer({"train", "--config", "more.yaml", "--model", "small.yaml", "--data", "data", "--threads",
                     "1", "--out", "config"})
                .code,
            0);
  EXPECT_EQ(rerun("config", 0)["weights"]["same_bits"], true);
  ASSERT_EQ(trainer({"sprint", "--model", "small.yaml", "--data", "data", "--threads", "1", "--seeds", "2",
                     "--no-process", "--out", "sprint"})
                .code,
            0);
  EXPECT_EQ(rerun("sprint", 0)["weights"]["same_bits"], true);
}

TEST_F(Rerun, RefusesWhatCannotBeTrainedAgain) {
  train({"--out", "run"});
  ASSERT_EQ(trainer({"export", "run", "-o", "torch.safetensors", "--layout", "torch"}).code, 0);
  ASSERT_EQ(
      trainer({"import", "torch.safetensors", "--model", "small.yaml", "--data", "data", "--out", "imported"})
          .code,
      0);
  const Outcome imported = trainer({"runs", "rerun", "imported"});
  EXPECT_EQ(imported.code, 2);
  EXPECT_PRED2(contains, imported.err, "imported was not trained here");
  fs::rename(folder_ / "data", folder_ / "moved");
  const Outcome moved = trainer({"runs", "rerun", "run"});
  EXPECT_NE(moved.code, 0);
  EXPECT_PRED2(contains, moved.err, at("data"));
  EXPECT_EQ(rerun("run", 0, {"--data", "moved"})["weights"]["same_bits"], true);
  Json record = Json::parse(read_text(folder_ / "run/run.json"));
  record["command"].push_back("--option-of-tomorrow");
  folder_.write("run/run.json", record.dump());
  const Outcome tomorrow = trainer({"runs", "rerun", "run"});
  EXPECT_EQ(tomorrow.code, 2);
  EXPECT_PRED2(contains, tomorrow.err, "this program does not know the command of run");
  record["results"] = Json::object();
  folder_.write("run/run.json", record.dump());
  EXPECT_PRED2(contains, trainer({"runs", "rerun", "run"}).err, "has no results to compare with");
  fs::remove(folder_ / "run/model.safetensors");
  fs::remove(folder_ / "run/checkpoint.safetensors");
  EXPECT_EQ(trainer({"runs", "rerun", "run"}).code, 1);
}

TEST_F(Rerun, DiffShowsTheLargestChangeOfEachTensor) {
  train({"--out", "a"});
  train({"--out", "b", "--seed", "2"});
  const Outcome same = trainer({"runs", "diff", "a", "a/checkpoint.safetensors"});
  EXPECT_EQ(same.code, 0) << same.err;
  EXPECT_PRED2(contains, same.out, "\nthe same bits\n");
  const Json json = Json::parse(trainer({"runs", "diff", "a", "b", "--json"}).out);
  EXPECT_EQ(json["same_bits"], false);
  const SafetensorsFile a = SafetensorsFile::read(at("a/model.safetensors"));
  ASSERT_EQ(json["tensors"].size(), a.tensors().size());
  EXPECT_EQ(json["tensors"][0]["values"], a.tensors()[0].bytes.size() / 4);
  write_network({.layers = "  - conv: {out: 5, kernel: 3}\n  - relu\n"});
  train({"--out", "c"});
  const Outcome other = trainer({"runs", "diff", "a", "c"});
  EXPECT_EQ(other.code, 1);
  EXPECT_PRED2(contains, other.err,
               "'conv1.weight' is [5, 3, 3, 1], not [4, 3, 3, 1]: these are different networks");
}

TEST_F(Rerun, ARegisteredNameStandsForARunEverywhere) {
  train({"--out", "run"});
  const Outcome promoted = trainer({"runs", "promote", "run", "digits", "--stage", "production"});
  EXPECT_EQ(promoted.code, 0) << promoted.err;
  EXPECT_PRED2(contains, promoted.out, "digits@1 (production)  small, ");
  EXPECT_PRED2(contains, trainer({"train", "--resume", "digits", "--data", "data"}).err,
               "train --from digits@1 starts");
  std::string damaged = read_text(folder_ / "run/model.safetensors");
  damaged.back() ^= 1;
  folder_.write("run/model.safetensors", damaged);
  EXPECT_PRED2(contains, trainer({"runs", "promote", "run", "digits"}).err, "damaged");
  fs::remove_all(folder_ / "run");
  for (const Words& words :
       {Words{"eval", "digits", "--data", "data"}, Words{"eval", "digits@1", "--data", "data"},
        Words{"export", "digits@production", "-o", "model.onnx"}, Words{"runs", "show", "digits"},
        Words{"runs", "compare", "digits", "digits@1"}, Words{"runs", "diff", "digits", "digits@1"},
        Words{"runs", "rerun", "digits"},
        Words{"runs", "export", "digits", "--tensorboard", "tb", "--data", "data"},
        Words{"registry", "show", "digits"}, Words{"registry", "list"},
        Words{"train", "--from", "digits", "--data", "data", "--no-save"},
        Words{"runs", "report", "digits", "--data", "data"}}) {
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << words[0] << " " << words[1] << ": " << outcome.err;
  }
  EXPECT_TRUE(fs::exists(folder_ / "tb/digits@1"));
  EXPECT_TRUE(fs::exists(folder_ / "digits@1-report.html")) << "nothing is written in a version";
  EXPECT_EQ(Json::parse(trainer({"registry", "list", "--json"}).out)[0]["stage"], "production");
  EXPECT_EQ(trainer({"runs", "list"}).err, "") << "the registry is no run";
  EXPECT_EQ(trainer({"registry", "retire", "digits@1"}).out,
            "digits@1 is retired, and no version is in production now; digits@1 still opens it\n");
  EXPECT_EQ(Json::parse(trainer({"registry", "retire", "digits@1", "--json"}).out)["stage"], "retired");
  EXPECT_EQ(trainer({"registry", "retire", "digits@1"}).out,
            "digits@1 is retired; digits@1 still opens it\n");
  EXPECT_PRED2(contains, trainer({"eval", "digits"}).err, "every version of 'digits' is retired");
  EXPECT_PRED2(contains, trainer({"registry", "show", "digit"}).err, "no network is registered as 'digit'");
}

TEST_F(Rerun, APromotionThatCannotBeWrittenLeavesNothing) {
  train({"--out", "run"});
  const Outcome full =
      shell("trap '' XFSZ; ulimit -f 8; exec \"$T\" runs promote run digits --stage production");
  EXPECT_EQ(full.code, 1);
  EXPECT_PRED2(contains, full.err, "cannot promote run to digits@1: ");
  EXPECT_TRUE(fs::is_empty(folder_ / "runs/registry/digits"));
  EXPECT_PRED2(contains, trainer({"registry", "list"}).out, "no network is registered in ");
  EXPECT_EQ(trainer({"runs", "promote", "run", "digits"}).code, 0);
}

TEST(Drift, IsBeyondThreeStandardErrorsOfTheNetworksRecord) {
  const KnownAccuracy known{"quick", 1, "fp32", 30, 99.0, 0.06};
  Drift drift{.weights = {{.name = "a", .values = 1, .different = 1}},
              .before = 99,
              .now = 99.18,
              .known = &known,
              .allowed = 0.183};
  EXPECT_EQ(drift.status(), 3);
  drift.now = 98.81;
  EXPECT_EQ(drift.status(), 4);
  EXPECT_PRED2(contains, drift_text(drift), "-0.190 points, BEYOND three standard errors (0.183)");
  drift.weights[0].different = 0;
  EXPECT_EQ(drift.status(), 0);
  drift.weights[0].different = 1;
  drift.known = nullptr;
  EXPECT_EQ(drift.status(), 3);
}

KnownRun quick_run(const std::string& text) {
  KnownRun run;
  run.record.model = "quick";
  run.record.spec_text = text;
  run.record.data.fingerprint = kMnistFingerprint;
  run.record.results = {{"step", 470U}, {"total_steps", 470U}};
  run.record.recipe = {
      {"epochs", 2U},
      {"settings", {{"seed", 3}, {"precision", "bf16"}, {"channels", 1}, {"transpose", false}}}};
  return run;
}

TEST(KnownAccuracy, IsOfTheShippedNetworkWithItsOwnRecipeOnMnist) {
  const fs::path models = fs::path(TRAINER_SOURCE_DIR) / "models";
  EXPECT_EQ(data::load_dataset(fs::path(TRAINER_SOURCE_DIR) / "data/mnist").fingerprint, kMnistFingerprint);
  const std::string text = read_text(models / "quick.yaml");
  KnownRun run = quick_run(text);
  const KnownAccuracy* known = known_accuracy(run, models);
  ASSERT_NE(known, nullptr);
  EXPECT_EQ(known->epochs, 2);
  EXPECT_EQ(known->precision, "bf16");
  EXPECT_NEAR(known->mean, 99.2, 0.1);  // whatever the newest record says
  run.record.recipe["epochs"] = 3U;
  EXPECT_EQ(known_accuracy(run, models), nullptr);
  const auto changed = [&](auto change) {
    run = quick_run(text);
    change(run.record);
    return known_accuracy(run, models) == nullptr;
  };
  EXPECT_TRUE(changed([](RunRecord& r) { r.spec_text += "\n# mine\n"; }));
  EXPECT_TRUE(changed([](RunRecord& r) { r.data.fingerprint = "crc32:0"; }));
  EXPECT_TRUE(changed([](RunRecord& r) { r.results["step"] = 100U; }));
  EXPECT_TRUE(changed([](RunRecord& r) { r.recipe["settings"]["batch"] = 128; }));
  EXPECT_TRUE(changed([](RunRecord& r) { r.recipe["settings"]["transpose"] = true; }));
  EXPECT_TRUE(changed([](RunRecord& r) { r.recipe["settings"]["precision"] = "fp16"; }));
  EXPECT_FALSE(changed([](RunRecord& r) { r.recipe["settings"]["seed"] = 4; }));
}

}  // namespace
}  // namespace trainer::test
