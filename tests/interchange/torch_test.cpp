// Weights to and from PyTorch's layout: there and back to the bit, by Python's safetensors in double, and what is refused.
#include <cmath>
#include <cstring>

#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class Torch : public ProgramTest {
 protected:
  // Whose logit_scale is a power of two, so that no bit is lost.
  void train_small() {
    write_network({.layers =
                       "  - conv: {out: 6, kernel: 3}\n  - maxpool: {size: 2}\n  - relu\n"
                       "  - conv: {out: 8, kernel: 3, padding: same, bias: false}\n  - batchnorm\n  - gelu\n"
                       "  - dense: {out: 16, bias: false}\n  - batchnorm: {gain: false}\n  - gelu\n",
                   .more_recipe = "  logit_scale: 0.5\n  input: {normalize: data}\n"});
    ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
    const Outcome exported = trainer({"export", "run", "--layout", "torch", "-o", "torch.safetensors"});
    ASSERT_EQ(exported.code, 0) << exported.err;
  }

  Outcome import(const std::string& file, const Words& more = {},
                 const std::string& model = "small.yaml") const {
    Words words{"import", file, "--model", model, "--data", "data", "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return trainer(words);
  }

  // A file of one tensor of 4 bytes a number, as another program writes it.
  void write_foreign(const std::string& name, const std::string& header, const std::string& bytes) const {
    const std::uint64_t size = header.size();
    folder_.write(name, std::string(reinterpret_cast<const char*>(&size), sizeof size) + header + bytes);
  }

  void rewrite(const std::string& to, const std::string& tensor, float value) const {
    SafetensorsFile file = SafetensorsFile::read(folder_ / "torch.safetensors");
    std::vector<float> values;
    for (Tensor& one : file.tensors()) {
      if (one.name != tensor) continue;
      values.assign(one.bytes.size() / sizeof(float), value);
      one.bytes = std::as_bytes(std::span(values));
    }
    ASSERT_FALSE(values.empty());
    write_safetensors(folder_ / to, file.tensors(), file.metadata());
  }
};

TEST_F(Torch, ThereAndBackIsTheSameToTheBit) {
  train_small();
  const Outcome imported = import("torch.safetensors", {"--out", "back"});
  ASSERT_EQ(imported.code, 0) << imported.err;
  expect_same_tensors(folder_ / "run/model.safetensors", folder_ / "back/model.safetensors");
  const SafetensorsFile first = SafetensorsFile::read(folder_ / "run/model.safetensors");
  EXPECT_EQ(first.text("scaling"), SafetensorsFile::read(folder_ / "back/model.safetensors").text("scaling"));
  const Outcome unsaved = import("torch.safetensors", {"--no-save", "--json"});
  EXPECT_EQ(unsaved.code, 0) << unsaved.err;
  EXPECT_EQ(json_lines(unsaved.out).back()["test"]["images"], 100);
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
  EXPECT_EQ(import("torch.safetensors", {"--quiet", "--out", "silent"}).out, "");
  const Outcome native = import("run/model.safetensors", {"--layout", "native", "--out", "native"});
  ASSERT_EQ(native.code, 0) << native.err;
  expect_same_tensors(folder_ / "run/model.safetensors", folder_ / "native/model.safetensors");
}

TEST_F(Torch, AnImportedRunIsARunAsAnyOther) {
  train_small();
  ASSERT_EQ(import("torch.safetensors", {"--out", "runs/back"}).code, 0);
  const RunRecord kept = record("runs/back");
  EXPECT_EQ(kept.status, RunStatus::kFinished);
  EXPECT_EQ(kept.reason, "imported");
  EXPECT_EQ(kept.results["test"]["accuracy"], record("run").results["test"]["accuracy"]);
  EXPECT_EQ(kept.recipe["settings"]["from"], at("torch.safetensors"));
  const std::string digest = kept.recipe["settings"]["from_sha256"];
  EXPECT_EQ(shell("sha256sum torch.safetensors").out.substr(0, 64), digest);
  const Outcome list = trainer({"runs", "list", "--json"});
  EXPECT_EQ(Json::parse(list.out).at(0).at("accuracy"), kept.results["test"]["accuracy"]);
  EXPECT_EQ(list.err, "") << "no disagreement with its metrics";
  for (const Words& words :
       {Words{"runs", "show", "back"}, Words{"runs", "compare", "back", "run"},
        Words{"runs", "report", "back"}, Words{"eval", "back"},
        Words{"train", "--from", "back", "--data", "data", "--threads", "1", "--no-save"}}) {
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << words[0] << ' ' << words[1] << ": " << outcome.err;
  }
}

TEST_F(Torch, PythonReadsItAndASequentialComesBack) {
  const std::string interpreter = python("numpy, safetensors");
  if (interpreter.empty())
    GTEST_SKIP() << "no numpy or safetensors; name an interpreter that has them with TRAINER_PYTHON";
  train_small();
  ASSERT_EQ(trainer({"eval", "run", "--threads", "1", "--precision", "fp32", "--logits", "logits.csv"}).code,
            0);
  const Outcome read =
      shell(interpreter + TRAINER_SOURCE_DIR "/tests/interchange/torch_layout.py torch.safetensors data " +
            "logits.csv sequential.safetensors");
  ASSERT_EQ(read.code, 0) << read.out << read.err;
  const Outcome imported = import("sequential.safetensors", {"--out", "back"});
  ASSERT_EQ(imported.code, 0) << imported.err;
  expect_same_tensors(folder_ / "run/model.safetensors", folder_ / "back/model.safetensors");
}

TEST_F(Torch, PyTorchRunsTheDocumentsExamples) {
  const std::string interpreter = python("torch, safetensors.torch");
  if (interpreter.empty()) GTEST_SKIP() << "no torch; name an interpreter that has it with TRAINER_PYTHON";
  const std::string data = TRAINER_SOURCE_DIR "/data/mnist";
  ASSERT_EQ(trainer({"train", "--data", data, "--limit-train", "2000", "--epochs", "1", "--out", "run"}).code,
            0);
  ASSERT_EQ(trainer({"export", "run", "--layout", "torch", "-o", "quick.safetensors"}).code, 0);
  folder_.write("there.py", weights_example(3));
  folder_.write("back.py", weights_example(4));
  const Outcome there = shell(interpreter + "there.py quick.safetensors " + data);
  ASSERT_EQ(there.code, 0) << there.err;
  const double accuracy =
      Json::parse(trainer({"eval", "run", "--precision", "fp32", "--json"}).out)["accuracy"];
  EXPECT_NEAR(std::stod(there.out), accuracy, 2e-4) << "one image in 10,000 may be level";
  const Outcome back = shell(interpreter + "back.py " + data + " mine.safetensors");
  ASSERT_EQ(back.code, 0) << back.err;
  const Outcome imported =
      trainer({"import", "mine.safetensors", "--model", "quick", "--data", data, "--out", "mine"});
  ASSERT_EQ(imported.code, 0) << imported.err;
  EXPECT_NEAR(std::stod(back.out), record("mine").results["test"]["accuracy"].get<double>(), 2e-4);
}

TEST_F(Torch, PixelsAreNormalisedAsOptionsMetadataOrRecipeSay) {
  train_small();
  const auto scaling = [&](const Words& more, const std::string& file) {
    fs::remove_all(folder_ / "back");
    Words words = more;
    words.insert(words.end(), {"--out", "back"});
    EXPECT_EQ(import(file, words).code, 0);
    const Json json = Json::parse(SafetensorsFile::read(folder_ / "back/model.safetensors").text("scaling"));
    return std::pair(std::stod(json["scale"].get<std::string>()),
                     std::stod(json["shift"].get<std::string>()));
  };
  const SafetensorsFile file = SafetensorsFile::read(folder_ / "torch.safetensors");
  Metadata silent = file.metadata(), told = file.metadata();
  silent.erase("mean");
  silent.erase("std");
  write_safetensors(folder_ / "silent.safetensors", file.tensors(), silent);
  told["mean"] = "0.25";
  told["std"] = "2";
  write_safetensors(folder_ / "told.safetensors", file.tensors(), told);
  EXPECT_EQ(scaling({}, "silent.safetensors"), scaling({}, "torch.safetensors")) << "normalize: data";
  EXPECT_EQ(scaling({}, "told.safetensors"), std::pair(double{1.0F / 510}, -0.125));
  EXPECT_EQ(scaling({"--mean", "0.5", "--std", "1"}, "told.safetensors"),
            std::pair(double{1.0F / 255}, -0.5));
  for (const char* deviation : {"0", "-1", "nan", "1e-300"})
    expect_one_line(import("torch.safetensors", {"--std", deviation, "--out", "bad"}), 2);
  told["std"] = "wide";
  write_safetensors(folder_ / "told.safetensors", file.tensors(), told);
  const Outcome outcome = import("told.safetensors", {"--out", "bad"});
  expect_one_line(outcome, 1);
  EXPECT_PRED2(contains, outcome.err, "'wide'");
  EXPECT_FALSE(fs::exists(folder_ / "bad"));
}

TEST_F(Torch, TheFileAndTheNetworkNormaliseAlike) {
  train_small();
  std::string text = read_text(folder_ / "small.yaml");
  folder_.write("by_image.yaml", text.replace(text.find("normalize: data"), 15, "normalize: image"));
  const Outcome by_data = import("torch.safetensors", {"--out", "bad"}, "by_image.yaml");
  expect_one_line(by_data, 2);
  EXPECT_PRED2(contains, by_data.err,
               "it was trained without `normalize: image`, and by_image.yaml is with it");
  const SafetensorsFile file = SafetensorsFile::read(folder_ / "torch.safetensors");
  Metadata told = file.metadata();
  told["normalize"] = "image";
  write_safetensors(folder_ / "told.safetensors", file.tensors(), told);
  const Outcome by_image = import("told.safetensors", {"--out", "bad"});
  expect_one_line(by_image, 2);
  EXPECT_PRED2(contains, by_image.err,
               "it was trained with `normalize: image`, and small.yaml is without it");
  EXPECT_FALSE(fs::exists(folder_ / "bad"));
  const Outcome both = import("told.safetensors", {"--out", "back"}, "by_image.yaml");
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_PRED2(contains, both.out, "input         each image by its own mean and deviation\n");
}

TEST_F(Torch, WhatDoesNotFitIsNamedWithWhatIsWanted) {
  train_small();
  const auto refused = [&](const Outcome& outcome, const Words& parts) {
    expect_one_line(outcome, 1);
    for (const std::string& part : parts) EXPECT_PRED2(contains, outcome.err, part);
    EXPECT_FALSE(fs::exists(folder_ / "bad"));
  };
  const Words out{"--out", "bad"};
  folder_.write("other.yaml", small_network({}));
  refused(import("torch.safetensors", out, "other.yaml"),
          {"'conv1.weight' is [6, 1, 3, 3], not [4, 1, 3, 3]", "'dense1.bias' [16] is missing",
           "'batchnorm1.weight' is not in the network", "--model"});
  refused(import("run/model.safetensors", out),
          {"'conv1.weight' is [6, 3, 3, 1], not [6, 1, 3, 3]", "they fit --layout native"});
  rewrite("gain.safetensors", "batchnorm2.weight", 2);
  refused(import("gain.safetensors", out), {"'batchnorm2.weight' is not 1 everywhere", "gain: false"});
  rewrite("nan.safetensors", "conv1.bias", NAN);
  refused(import("nan.safetensors", out), {"conv1.bias", "not finite"});
  rewrite("huge.safetensors", "dense2.weight", 3e38F);
  refused(import("huge.safetensors", out), {"output is not finite"});
  write_foreign("half.safetensors", R"({"0.weight":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})",
                "abcd");
  refused(import("half.safetensors", out), {"'0.weight'", "F16", "F32"});
  refused(import("absent.safetensors", out), {"absent.safetensors"});
  refused(import("small.yaml", out), {"not a safetensors file"});
  expect_one_line(import("torch.safetensors", out, "absent"), 2);
  expect_one_line(import("torch.safetensors", {"--layout", "keras"}), 2);
}

TEST_F(Torch, ANetworkThatIsNotFiniteIsNotExported) {
  train_small();
  SafetensorsFile file = SafetensorsFile::read(folder_ / "run/model.safetensors");
  std::vector<float> bad(file.tensors().front().bytes.size() / sizeof(float), NAN);
  const std::string name = file.tensors().front().name;
  file.tensors().front().bytes = std::as_bytes(std::span(bad));
  write_safetensors(folder_ / "bad.safetensors", file.tensors(), file.metadata());
  for (const Words& words :
       {Words{"export", "bad.safetensors", "-o", "a.onnx"},
        Words{"export", "bad.safetensors", "--layout", "torch", "-o", "a.safetensors"}}) {
    const Outcome outcome = trainer(words);
    expect_one_line(outcome, 1);
    EXPECT_PRED2(contains, outcome.err, name);
    EXPECT_PRED2(contains, outcome.err, "not finite");
  }
  // A run that was killed before it saved anything holds no network.
  fs::remove(folder_ / "run/model.safetensors");
  fs::remove(folder_ / "run/checkpoint.safetensors");
  const Outcome empty = trainer({"export", "run", "-o", "a.onnx"});
  expect_one_line(empty, 1);
  EXPECT_PRED2(contains, empty.err, "holds no network");
}

}  // namespace
}  // namespace trainer::test
