// The weights in a file and the numbers that come out of them: eval against train, networks that hold NaN, and the examples of
// docs/weights.md, run as they stand there.
#include <cmath>
#include <cstring>
#include <limits>

#include "data/dataset.hpp"
#include "tests/data/png_writer.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class Weights : public ProgramTest {
 protected:
  // Changes the tensor `name` of runs' models and writes the file anew, with its hash.
  void rewrite(const std::string& from, const std::string& to, const std::string& name,
               const std::function<void(std::vector<float>&)>& change) {
    const SafetensorsFile file = SafetensorsFile::read(folder_ / from);
    std::vector<Tensor> tensors = file.tensors();
    const auto tensor = std::ranges::find(tensors, name, &Tensor::name);
    ASSERT_NE(tensor, tensors.end()) << name;
    std::vector<float> values(tensor->bytes.size() / sizeof(float));
    std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
    change(values);
    tensor->bytes = std::as_bytes(std::span(values));
    write_safetensors(folder_ / to, tensors, file.metadata());
  }

  Json eval(const std::string& run) const {
    const Outcome outcome = trainer({"eval", run, "--data", "data", "--threads", "1", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Json::parse(outcome.out);
  }
};

TEST_F(Weights, EvalAndTrainGiveTheSameLossHoweverLarge) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  const auto near = [](double a, double b) { return std::abs(a - b) <= 1e-5 * std::abs(b); };
  EXPECT_PRED2(near, eval("run")["loss"].get<double>(), metrics("run").back()["test_loss"].get<double>());
  // A head scaled by a thousand is as right as before, and its wrong answers cost thousands.
  rewrite("run/model.safetensors", "loud.safetensors", "dense2.weight",
          [](auto& values) { std::ranges::for_each(values, [](float& v) { v *= 3000; }); });
  const Outcome started = trainer(
      small_training({"--from", "loud.safetensors", "--lr", "1e-30", "--epochs", "1", "--out", "on"}));
  ASSERT_EQ(started.code, 0) << started.err;
  const double loss = metrics("on").back()["test_loss"].get<double>();
  EXPECT_GT(loss, 200);
  EXPECT_PRED2(near, eval("on")["loss"].get<double>(), loss);
  EXPECT_PRED2(near, eval("loud.safetensors")["loss"].get<double>(), loss);
}

TEST_F(Weights, NumbersThatAreNotFiniteAreRefusedByTheTensorsName) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  folder_.write("a.png", "not read before the network");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    rewrite("run/model.safetensors", "bad.safetensors", "conv1.bias", [&](auto& values) { values[1] = bad; });
    for (const Words& words :
         {Words{"eval", "bad.safetensors", "--data", "data"}, Words{"predict", "bad.safetensors", "a.png"},
          small_training({"--from", "bad.safetensors", "--no-save"})}) {
      const Outcome outcome = trainer(words);
      expect_one_line(outcome, 1);
      EXPECT_PRED2(contains, outcome.err, "conv1.bias");
      EXPECT_PRED2(contains, outcome.err, "not finite");
    }
  }
}

TEST_F(Weights, FiniteNumbersWhoseSumsOverflowAreAnError) {
  ASSERT_EQ(trainer(small_training({"--out", "run"})).code, 0);
  rewrite("run/model.safetensors", "high.safetensors", "dense1.bias",
          [](auto& values) { std::ranges::fill(values, 10.0F); });
  rewrite("high.safetensors", "huge.safetensors", "dense2.weight",
          [](auto& values) { std::ranges::for_each(values, [](float& v) { v = std::copysign(3e38F, v); }); });
  const data::Dataset small = data::load_dataset(folder_ / "data");
  const Shape& shape = small.shape;
  folder_.write("a.png",
                encode_png({shape.h,
                            shape.w,
                            shape.c,
                            {small.test.images.begin(),
                             small.test.images.begin() + static_cast<std::ptrdiff_t>(shape.size())}}));
  for (const Words& words : {Words{"eval", "huge.safetensors", "--data", "data"},
                             Words{"predict", "huge.safetensors", "a.png", "--fit", "picture"}}) {
    const Outcome outcome = trainer(words);
    expect_one_line(outcome, 1);
    EXPECT_PRED2(contains, outcome.err, "output is not finite");
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(Weights, TheDocumentsReaderEvaluatesATrainedNetwork) {
  const std::string interpreter = python("numpy");
  if (interpreter.empty()) GTEST_SKIP() << "no numpy; name an interpreter that has it with TRAINER_PYTHON";
  write_network({.layers = "  - conv: {out: 6, kernel: 3}\n  - maxpool: {size: 2}\n  - relu\n"
                           "  - conv: {out: 8, kernel: 2}\n  - maxpool: {size: 2}\n  - relu\n"
                           "  - dense: {out: 16}\n  - relu\n"});
  ASSERT_EQ(trainer(small_training({"--precision", "fp32", "--epochs", "4", "--out", "run"})).code, 0);
  folder_.write("evaluate.py", weights_example(0));
  const Outcome read = shell(interpreter + "evaluate.py run/model.safetensors data");
  ASSERT_EQ(read.code, 0) << read.err;
  const Json theirs = Json::parse(read.out);
  EXPECT_NEAR(theirs["loss"].get<double>(), eval("run")["loss"].get<double>(), 1e-5);
  EXPECT_EQ(theirs["accuracy"], eval("run")["accuracy"]);
}

TEST_F(Weights, TheDocumentsWriterMakesAFileToEvaluateAndTrainFrom) {
  const std::string interpreter = python("numpy");
  if (interpreter.empty()) GTEST_SKIP() << "no numpy; name an interpreter that has it with TRAINER_PYTHON";
  folder_.write("write.py", weights_example(1));
  const Outcome written = shell(interpreter + "write.py data means.safetensors");
  ASSERT_EQ(written.code, 0) << written.err;
  EXPECT_GT(eval("means.safetensors")["accuracy"].get<double>(), 0.3) << "of 4 classes at random places";
  EXPECT_EQ(SafetensorsFile::read(folder_ / "means.safetensors").text("fit"), "digit");
  const Outcome on = trainer({"train", "--from", "means.safetensors", "--data", "data", "--threads", "1",
                              "--epochs", "30", "--lr", "1", "--out", "on"});
  ASSERT_EQ(on.code, 0) << on.err;
  EXPECT_GT(metrics("on").back()["test_accuracy"], eval("means.safetensors")["accuracy"]);
}

TEST_F(Weights, TheDocumentsDigestIsThatOfThePortableRun) {
  const std::string interpreter = python("numpy");
  if (interpreter.empty()) GTEST_SKIP() << "no numpy; name an interpreter that has it with TRAINER_PYTHON";
  ASSERT_EQ(trainer(small_training({"--bits", "portable", "--out", "run"})).code, 0);
  folder_.write("digest.py", weights_example(2));
  EXPECT_EQ(shell(interpreter + "digest.py run/model.safetensors").out,
            record("run").results["digest"].get<std::string>() + "\n");
}

}  // namespace
}  // namespace trainer::test
