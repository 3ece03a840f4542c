// --precision on the CPU engine: what it may be, what the recipe's list decides, and that a run keeps it.
#include "kernels/backend.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class ProgramPrecision : public ProgramTest {
 protected:
  // Trains into `run` and gives its record's precision.
  std::string precision_of(const std::string& run, Words words, const Words& environment = {}) {
    words.insert(words.end(), {"--out", run});
    const Outcome outcome = trainer(words, environment);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return record(run).recipe["settings"]["precision"];
  }
};

// As oneDNN plays it.
const Words kWithoutBf16{"ONEDNN_MAX_CPU_ISA=AVX2"};

TEST_F(ProgramPrecision, IsFp32UnlessTheRecipeListsAFasterOne) {
  EXPECT_EQ(precision_of("plain", small_training()), "fp32");
  folder_.write("small.yaml", small_network({}) + "  precisions: {cpu: [bf16], cuda: [tf32]}\n");
  EXPECT_EQ(precision_of("listed", small_training()), cpu_has(Precision::bf16) ? "bf16" : "fp32");
  EXPECT_EQ(precision_of("without", small_training(), kWithoutBf16), "fp32");
  EXPECT_EQ(precision_of("asked", small_training({"--precision", "fp32"})), "fp32");
  const Outcome told = trainer(small_training({"--no-save", "--json"}));
  EXPECT_EQ(json_lines(told.out)[0]["precision"], cpu_has(Precision::bf16) ? "bf16" : "fp32");
}

TEST_F(ProgramPrecision, IsRefusedWithTheReasonWhereTheProcessorHasNone) {
  for (const std::string precision : {"tf32", "fp16"}) {
    const Outcome refused = trainer(small_training({"--precision", precision}));
    expect_one_line(refused, 1);
    EXPECT_PRED2(contains, refused.err, "the CPU engine has no " + precision);
  }
  const Outcome refused = trainer(small_training({"--precision", "bf16"}), kWithoutBf16);
  expect_one_line(refused, 1);
  EXPECT_PRED2(contains, refused.err, "no products of bf16, which came with AVX512-BF16; choose fp32");
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(ProgramPrecision, Bf16TrainsAsWellAndIsKept) {
  if (!cpu_has(Precision::bf16)) GTEST_SKIP() << "this processor has no products of bf16";
  const Words longer{"--epochs", "5", "--lr", "0.05"};
  EXPECT_EQ(precision_of("fp32", small_training(longer)), "fp32");
  Words bf16 = small_training(longer);
  bf16.insert(bf16.end(), {"--precision", "bf16"});
  EXPECT_EQ(precision_of("whole", bf16), "bf16");
  const double exact = metrics("fp32")[0]["train_loss"];
  const double rounded = metrics("whole")[0]["train_loss"];
  EXPECT_NE(rounded, exact);
  EXPECT_NEAR(rounded, exact, 0.02 * exact);
  const Outcome eval = trainer({"eval", "whole", "--data", "data", "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(Json::parse(eval.out)["accuracy"], metrics("whole").back()["test_accuracy"]);
  EXPECT_EQ(Json::parse(eval.out)["precision"], "bf16");
  EXPECT_PRED2(contains, trainer({"eval", "whole", "--data", "data"}).out, "precision     bf16 on the CPU\n");
  EXPECT_NEAR(Json::parse(eval.out)["accuracy"], metrics("fp32").back()["test_accuracy"], 0.05);

  bf16.insert(bf16.end(), {"--max-seconds", "0.001"});
  EXPECT_EQ(precision_of("broken", bf16), "bf16");
  const Outcome rest = trainer({"train", "--resume", "broken", "--data", "data"});
  ASSERT_EQ(rest.code, 0) << rest.err;
  expect_same_tensors(folder_ / "broken/model.safetensors", folder_ / "whole/model.safetensors");
}

TEST_F(ProgramPrecision, ARunGoesOnWithoutItAndSaysSo) {
  if (!cpu_has(Precision::bf16)) GTEST_SKIP() << "this processor has no products of bf16";
  EXPECT_EQ(precision_of("run", small_training({"--precision", "bf16", "--max-seconds", "0.001"})), "bf16");
  const Outcome rest = trainer({"train", "--resume", "run", "--data", "data"}, kWithoutBf16);
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_PRED2(contains, rest.out + rest.err, "this run was begun in bf16 and continues in fp32");
  EXPECT_EQ(record("run").recipe["settings"]["precision"], "fp32");
}

}  // namespace
}  // namespace trainer::test
