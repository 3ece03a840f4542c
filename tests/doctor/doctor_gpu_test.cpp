// trainer doctor on the emulated GPU: what a machine with a GPU sees, as far as it can be played.
#include <cstdlib>

#include "tests/support/program.hpp"
#include "trainer/doctor/proof.hpp"

namespace trainer::test {
namespace {

class DoctorOnGpu : public ProgramTest {
 protected:
  Outcome on_gpu(const Words& arguments, const Words& more = {}) const {
    Words environment{"CUDA_VISIBLE_DEVICES=0"};
    environment.insert(environment.end(), more.begin(), more.end());
    Words words{"doctor", "--data", "data"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return trainer(words, environment);
  }
};

TEST_F(DoctorOnGpu, IsHealthyAndNamesTheDevice) {
  const Outcome outcome = on_gpu({"--quick", "--require-gpu"});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "\nhealthy: trains on GPU 0, Emulated Device");
}

TEST_F(DoctorOnGpu, MeasuresProductCopiesAndPeers) {
  const Outcome outcome = on_gpu({"--json"}, {"TRAINER_EMULATOR_DEVICE=two"});
  ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["trains_on"], "cuda:0");
  const Json& speed = json["speed"];
  EXPECT_EQ(speed["precision"], "bf16");
  for (const char* name : {"flops_per_second", "flops_per_second_expected", "memory_bytes_per_second",
                           "upload_bytes_per_second", "download_bytes_per_second"})
    EXPECT_GT(speed[name], 0) << name;
  ASSERT_EQ(speed["peers"].size(), 1U);
  EXPECT_EQ(speed["peers"][0]["device"], 1);
}

TEST_F(DoctorOnGpu, AnOldGpuIsRefusedWithItsClass) {
  const Outcome outcome = on_gpu({"--quick"}, {"TRAINER_EMULATOR_DEVICE=k80"});
  EXPECT_EQ(outcome.code, 13) << outcome.out;
  EXPECT_PRED2(contains, outcome.out, "Tesla K80");
}

TEST_F(DoctorOnGpu, AHiddenOrBusyGpuHasItsClass) {
  EXPECT_EQ(on_gpu({"--quick", "--device", "cuda:7"}).code, 12);
  const Outcome busy = on_gpu({"--quick"}, {"TRAINER_EMULATOR_FAIL=cudaFree:1:46"});
  EXPECT_EQ(busy.code, 14) << busy.out;
}

TEST_F(DoctorOnGpu, TwoTrainAtOnceAndEndWithTheDigestOfTheCpu) {
  ::setenv("CUDA_VISIBLE_DEVICES", "0", 1);
  ::setenv("TRAINER_EMULATOR_DEVICE", "two", 1);
  doctor::Proof proof{.network = at("small.yaml"),
                      .digest = "",
                      .rows = {{.device = "cuda:0", .name = "a"}, {.device = "cuda:1", .name = "a"}}};
  const Nvml nvml("libnvidia-ml-not-here.so");
  doctor::run_proof(
      {.speed = true, .minutes = 0, .json = true, .program = TRAINER_BINARY, .data = at("data")}, nvml,
      &proof);
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  ::unsetenv("TRAINER_EMULATOR_DEVICE");
  ASSERT_EQ(trainer(small_training({"--bits", "portable", "--out", "run"})).code, 0) << "on the CPU";
  for (const doctor::DeviceRow& row : proof.rows) {
    EXPECT_EQ(row.runs.at(0).error, "");
    EXPECT_EQ(row.runs.at(0).digest, record("run").results["digest"]);
    EXPECT_EQ(row.speed["peers"].size(), 1U) << row.speed_error;
  }
}

}  // namespace
}  // namespace trainer::test
