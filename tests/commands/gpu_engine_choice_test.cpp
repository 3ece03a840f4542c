// --engine: what it opens, that a run keeps it, and what it says where it changes nothing.
#include "tests/commands/gpu_program.hpp"

namespace trainer::test {
namespace {

// Its dense layer is small.
TEST_F(GpuProgram, TheLibrariesAreUsedWhereThatIsAskedForAndARunKeepsThem) {
  const Words length{"--epochs", "3", "--engine", "libraries"};
  const auto opens_none = [&](const std::string& run) { return record(run).versions["cublas"].is_null(); };
  train("ours", {"--epochs", "3"});
  EXPECT_TRUE(opens_none("ours"));
  EXPECT_EQ(record("ours").recipe["settings"]["engine"], "auto");
  train("whole", length);
  EXPECT_FALSE(opens_none("whole"));
  EXPECT_EQ(record("whole").recipe["settings"]["engine"], "libraries");
  EXPECT_EQ(accuracy("whole", "cuda"), metrics("whole").back()["test_accuracy"]) << "in its engine";
  Words part = small_training(length);
  part.insert(part.end(), {"--max-seconds", "0.001", "--out", "part"});
  const Outcome begun = on_gpu(part);
  EXPECT_PRED2(contains, begun.out,
               "engine        libraries: layers that cuDNN or cuBLASLt has are theirs\n");
  const Outcome rest = on_gpu({"train", "--resume", "part", "--data", "data"});
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_EQ(lines_with(rest.out + rest.err, "this run was begun"), 0U) << rest.out;
  EXPECT_PRED2(contains, rest.out, "engine        libraries: ");
  expect_same_tensors(folder_ / "part/model.safetensors", folder_ / "whole/model.safetensors");
  EXPECT_EQ(record("part").recipe["settings"]["engine"], "libraries");
}

TEST_F(GpuProgram, AnEngineThatChangesNothingSaysSo) {
  write_network({.layers = "  - conv: {out: 4, kernel: 3}\n  - relu\n  - maxpool: {size: 2}\n"});
  const Words sprint{"sprint",  "--model", "small.yaml", "--data",   "data",
                     "--seeds", "1",       "--no-save",  "--engine", "libraries"};
  const Outcome on_device = on_gpu(sprint);
  ASSERT_EQ(on_device.code, 0) << on_device.err;
  EXPECT_PRED2(contains, on_device.out,
               "engine        libraries: changes nothing: neither cuDNN nor cuBLASLt");
  const Outcome on_cpu = trainer(sprint);
  ASSERT_EQ(on_cpu.code, 0) << on_cpu.err;
  EXPECT_PRED2(contains, on_cpu.out, "engine        libraries: changes nothing on a CPU\n");
}

}  // namespace
}  // namespace trainer::test
