// `quick` on a part of the real data, through every kernel of the GPU engine in the emulated CUDA: it learns,
// as the CPU engine does, and the CPU reads the network that it leaves.
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

using GpuMnist = ProgramTest;

TEST_F(GpuMnist, AShortTrainingLearnsAsTheCpuDoesAndTheCpuReadsIt) {
  const auto train = [&](const std::string& device) {
    const Outcome outcome = trainer({"train", "--limit-train", "2000", "--epochs", "1", "--batch", "64",
                                     "--device", device, "--out", device},
                                    {"CUDA_VISIBLE_DEVICES=0"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return record(device).results;
  };
  const Json gpu = train("cuda");
  const Json cpu = train("cpu");
  EXPECT_GT(gpu["test"]["accuracy"], 0.9);
  EXPECT_NEAR(gpu["test"]["accuracy"].get<double>(), cpu["test"]["accuracy"].get<double>(), 0.02);
  const Outcome read = trainer({"eval", "cuda", "--device", "cpu", "--json"});
  ASSERT_EQ(read.code, 0) << read.err;
  const Json score = Json::parse(read.out);
  EXPECT_NEAR(score["accuracy"].get<double>(), gpu["test"]["accuracy"].get<double>(), 2e-4);  // two images
  EXPECT_NEAR(score["loss"].get<double>(), gpu["test"]["loss"].get<double>(), 1e-5);
  RecordProperty("gpu", std::to_string(gpu["test"]["accuracy"].get<double>()));
  RecordProperty("cpu", std::to_string(cpu["test"]["accuracy"].get<double>()));
}

}  // namespace
}  // namespace trainer::test
