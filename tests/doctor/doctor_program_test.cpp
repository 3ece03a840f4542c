// trainer doctor as a user runs it, on this machine without a GPU.
#include "tests/support/program.hpp"
#include "trainer/doctor/checks.hpp"

namespace trainer::test {
namespace {

class DoctorProgram : public ProgramTest {
 protected:
  Outcome doctor(const Words& more, const Words& environment = {}) const {
    Words words{"doctor"};
    words.insert(words.end(), more.begin(), more.end());
    return trainer(words, environment);
  }

  // No device is visible; or the tests run in a container, which was given none.
  static void expect_no_gpu(const Outcome& outcome) {
    EXPECT_TRUE(outcome.code == 12 || outcome.code == 16)
        << outcome.code << ": " << outcome.out << outcome.err;
  }
};

TEST_F(DoctorProgram, AMachineWithoutAGpuIsHealthyAndTrainsOnItsProcessor) {
  if (fs::exists("/dev/nvidiactl")) GTEST_SKIP() << "this machine has a GPU";
  const Outcome outcome = doctor({"--quick", "--data", "data"});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_PRED2(contains, outcome.out, "\nhealthy: trains on the CPU, ");
  EXPECT_PRED2(contains, outcome.out, "200 + 100 images of 12x12, 4 classes");
  EXPECT_FALSE(contains(outcome.out, "problem"));
  EXPECT_FALSE(contains(outcome.out, "\nok       speed"));
}

TEST_F(DoctorProgram, ARequiredGpuThatIsMissingIsAProblemWithItsClass) {
  const Outcome outcome = doctor({"--quick", "--require-gpu", "--data", "data", "--json"});
  expect_no_gpu(outcome);
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["exit_status"], outcome.code);
  EXPECT_EQ(json["trains_on"], "cpu");
  EXPECT_FALSE(json["checks"].empty());
}

TEST_F(DoctorProgram, TheTestOfASecondMeasuresTheProcessor) {
  const Outcome outcome = doctor({"--device", "cpu", "--data", "data", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  const Json speed = Json::parse(outcome.out)["speed"];
  EXPECT_GT(speed["flops_per_second"], 0);
  EXPECT_GT(speed["memory_bytes_per_second"], 0);
  EXPECT_EQ(speed["gpu"], false);
}

TEST_F(DoctorProgram, MissingDataAndFoldersAreProblems) {
  const Outcome data = doctor({"--quick", "--device", "cpu", "--data", "nowhere"});
  EXPECT_EQ(data.code, 18);
  EXPECT_PRED2(contains, data.out, "problem  data");
  folder_.write("file", "");
  const Outcome runs = doctor({"--quick", "--device", "cpu", "--data", "data"}, {"TRAINER_RUNS=file/runs"});
  EXPECT_EQ(runs.code, 18) << runs.out;
  EXPECT_PRED2(contains, runs.out, "problem  results");
}

TEST_F(DoctorProgram, MistakesAreRefused) {
  for (const Words& mistake : {Words{"--device", "gpu"},
                               {"--device", "cuda:x"},
                               {"--explain", " "},
                               {"--explain", "a", "--quick"},
                               {"--minutes", "1"},
                               {"--prom", "file"},
                               {"--all", "--minutes", "-1"},
                               {"--all", "--minutes", "nan"},
                               {"--prove", "--device", "gpu"},
                               {"--prove", "--data", "data"},
                               {"--prove", "--explain", "a"}}) {
    SCOPED_TRACE(mistake.front());
    expect_one_line(doctor(mistake), 2);
  }
}

TEST_F(DoctorProgram, ExplainsAMessageGivenOrPiped) {
  const Outcome given = doctor({"--explain", "Failed to initialize NVML: Driver/library version mismatch"});
  EXPECT_EQ(given.code, 0);
  EXPECT_PRED2(contains, given.out, "driver-mismatch");
  const Outcome piped = shell(
      "printf 'no kernel image\\nis available for execution on the device' | \"$T\" doctor "
      "--explain - --json");
  EXPECT_EQ(piped.code, 0) << piped.err;
  EXPECT_EQ(Json::parse(piped.out)["found"][0]["key"], "device-code");
  const Outcome unknown = doctor({"--explain", "the printer is on fire"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_PRED2(contains, unknown.out, "no row");
}

TEST_F(DoctorProgram, HelpListsTheExitStatuses) {
  const Outcome help = doctor({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_PRED2(contains, help.out, "15  cuDNN or cuBLAS is missing or mixed");
}

#if !defined(__SANITIZE_ADDRESS__)  // under which a whole sprint-lean takes minutes
TEST_F(DoctorProgram, TheProcessorIsProvenAndTheMetricsAreWritten) {
  const Outcome outcome = doctor({"--prove", "--device", "cpu", "--minutes", "0", "--prom", "proof.prom"},
                                 {"TRAINER_DATA=data"});  // which is not the data of the known digest
  ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_PRED2(contains, outcome.out, ": proven, 1 of 1 trainings in ");
  EXPECT_PRED2(contains, outcome.out, "\nnot run  GPU: --device cpu\n");
  EXPECT_PRED2(contains, outcome.out, "\nhealthy in what was run: sprint-lean ended 1 times with the digest");
  EXPECT_PRED2(contains, read_text(folder_ / "proof.prom"), "\ntrainer_proof_passed{device=\"cpu\",");
}
#endif

TEST_F(DoctorProgram, AllWithoutAGpuSaysWhyAndGivesTheClass) {
  const Outcome outcome = doctor({"--all"});
  expect_no_gpu(outcome);
  EXPECT_PRED2(contains, outcome.out, "fix");
}

TEST(DoctorLibraries, AreLoadedInAProcessOfTheirOwn) {
  const doctor::CudnnFacts result = doctor::load_apart(
      {.names = {"libm.so.6", "libcudnn_that_is_not_here.so.9"}, .folder = "", .version_checks = {}});
  ASSERT_EQ(result.parts.size(), 2U);
  EXPECT_EQ(result.parts[0].error, "");
  EXPECT_NE(result.parts[0].path, "");
  EXPECT_PRED2(contains, result.parts[1].error, "libcudnn_that_is_not_here.so.9");
  EXPECT_FALSE(result.crashed);
}

TEST(DoctorLibraries, AVersionCheckThatDisagreesIsNamedAndACrashIsNoticed) {
  // getpid() gives no 0, abort() does not return.
  const doctor::CudnnFacts mixed =
      doctor::load_apart({.names = {}, .folder = "", .version_checks = {"getpid"}});
  EXPECT_EQ(mixed.mixed, Words{"getpid"});
  EXPECT_TRUE(doctor::load_apart({.names = {}, .folder = "", .version_checks = {"abort"}}).crashed);
}

}  // namespace
}  // namespace trainer::test
