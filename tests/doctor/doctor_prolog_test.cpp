// trainer doctor --prolog as slurmd or a monitoring system runs it: its status, its one line, its files, and machines that hang.
#include "kernels/gpu_host/gpu_failure.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class DoctorProlog : public ProgramTest {
 protected:
  DoctorProlog() {
    folder_.write("health.yaml", "NVML: critical\ndata: warn\n");
    fs::create_directory(folder_ / "libraries");
    fs::create_symlink(TRAINER_NVML_STAND_IN, folder_ / "libraries/libnvidia-ml.so.1");
  }

  Outcome prolog(const Words& more = {}, const Words& environment = {}) const {
    Words words{"doctor", "--prolog", "--data", "data"};
    words.insert(words.end(), more.begin(), more.end());
    return trainer(words, environment);
  }

  // With a driver that does this when NVML starts.
  Outcome prolog_where_nvml(const std::string& what) const {
    return prolog({"--health", "health.yaml", "--prom", "node.prom"},
                  {"LD_LIBRARY_PATH=" + at("libraries"), "STAND_IN_NVML=" + what});
  }

  // The one line of JSON, whose status is the exit status.
  static Json line_of(const Outcome& outcome, int code) {
    EXPECT_EQ(outcome.code, code) << outcome.out << outcome.err;
    const std::vector<Json> lines = json_lines(outcome.out);
    EXPECT_EQ(lines.size(), 1U) << outcome.out;
    if (lines.empty()) return {};
    EXPECT_EQ(lines[0]["kind"], "doctor prolog");
    EXPECT_EQ(lines[0]["status"], code);
    return lines[0];
  }
};

TEST_F(DoctorProlog, AMachineWithoutAGpuIsHealthyByTheShippedFile) {
  if (fs::exists("/dev/nvidiactl")) GTEST_SKIP() << "this machine has a GPU";
  const Outcome outcome = prolog({"--device", "cpu", "--prom", "node.prom", "--junit", "node.xml"});
  EXPECT_EQ(line_of(outcome, 0)["summary"], "ok");
  EXPECT_EQ(outcome.err, "");
  EXPECT_PRED2(contains, read_text(folder_ / "node.prom"), "\ntrainer_health_status 0\n");
  EXPECT_PRED2(contains, read_text(folder_ / "node.xml"), "</testsuite>\n");
}

TEST_F(DoctorProlog, TheFileDecidesWhatAProblemMeans) {
  fs::remove_all(folder_ / "data");
  const auto status = [&](const std::string& severity, int code) {
    folder_.write("health.yaml", "data: " + severity);
    const Json line = line_of(prolog({"--device", "cpu", "--health", "health.yaml"}), code);
    EXPECT_EQ(line["word"].get<std::string>(), code == 0 ? "ok" : severity);
  };
  status("ignore", 0);
  status("warn", 1);
  status("critical", 2);
}

TEST_F(DoctorProlog, GpusThatAreMissingAreCounted) {
  folder_.write("health.yaml", "gpus: 1000\nGPU count: critical");
  EXPECT_PRED2(contains, line_of(prolog({"--health", "health.yaml"}), 2)["summary"], " of 1000");
}

TEST_F(DoctorProlog, EveryGpuIsLookedAt) {
  if (has_gpu_engine()) GTEST_SKIP() << "libcuda is played for a program without the GPU engine";
  fs::create_symlink(TRAINER_LIBCUDA_STAND_IN, folder_ / "libraries/libcuda.so.1");
  folder_.write("health.yaml", "gpus: 3\nGPU errors: critical");
  EXPECT_EQ(line_of(prolog_where_nvml("works"), 2)["summary"],
            "critical: GPU errors: 1 that ECC could not correct; cuda:1: 1 that ECC could not correct; "
            "warn: GPU count: 2 of 3");
}

TEST_F(DoctorProlog, MistakesAndFailuresOfItsOwnAreUnknownAndNeverCritical) {
  folder_.write("broken.yaml", "GPU: fatal");
  for (const Words& mistake : {Words{"--health", "nowhere.yaml"},
                               {"--health", "broken.yaml"},
                               {"--health", "."},
                               {"--device", "gpu"},
                               {"--prove"},
                               {"--minutes", "1"},
                               {"--explain", "a"},
                               {"--colour"},
                               {"--junit"},
                               {"--prom", "nowhere/file", "--device", "cpu"},
                               {"--junit", "data", "--device", "cpu"}}) {
    SCOPED_TRACE(mistake.front());
    const Outcome outcome = prolog(mistake);
    const Json line = line_of(outcome, 3);
    EXPECT_EQ(line["word"], "unknown");
    EXPECT_EQ(outcome.err, "error: " + line["summary"].get<std::string>().substr(9) + "\n");
  }
  for (const char* alone : {"--health", "--junit"}) expect_one_line(trainer({"doctor", alone, "file"}), 2);
}

TEST_F(DoctorProlog, MetricsSayThatTheCheckItselfFailed) {
  folder_.write("node.prom", "trainer_health_status 0\n");
  (void)line_of(prolog({"--health", "nowhere.yaml", "--prom", "node.prom"}), 3);
  EXPECT_PRED2(contains, read_text(folder_ / "node.prom"), "\ntrainer_health_status 3\n");
}

TEST_F(DoctorProlog, ADriverThatHangsIsNamedInTime) {
  const Json line = line_of(prolog_where_nvml("hangs"), 2);
  EXPECT_EQ(line["summary"], "critical: NVML: gives no answer within 4 s, or ends the process");
  EXPECT_PRED2(contains, read_text(folder_ / "node.prom"), "{check=\"NVML\"} 2\n");
}

TEST_F(DoctorProlog, ADriverThatEndsTheProcessIsNamed) {
  EXPECT_EQ(line_of(prolog_where_nvml("dies"), 2)["summary"],
            "critical: NVML: gives no answer within 4 s, or ends the process");
}

TEST_F(DoctorProlog, HelpSaysItsStatuses) {
  EXPECT_PRED2(contains, trainer({"doctor", "--help"}).out, "0 ok, 1 warn, 2 critical, 3 unknown");
}

}  // namespace
}  // namespace trainer::test
