// trainer doctor --explain: messages as people paste them, and the row that each must find.
#include <gtest/gtest.h>

#include "tests/gpu_host/played_gpus.hpp"
#include "trainer/doctor/known_failures.hpp"
#include "trainer/doctor/report.hpp"

namespace trainer::doctor {
namespace {

using test::PlayedGpus;

std::string first_key(const std::string& message) {
  const Explanation explanation = explain(message);
  return explanation.found.empty() ? "" : explanation.found.front().key;
}

struct Pasted {
  std::string key;
  std::string message;
};

TEST(Explain, FindsEveryMessageOfTheList) {
  const Pasted all[] = {
      {"container-toolkit", R"(could not select device driver "" with capabilities: [[gpu]])"},
      {"driver-not-loaded", "nvidia-container-cli: initialization error: nvml error: driver not loaded"},
      {"driver-mismatch", "nvml error: driver/library version mismatch"},
      {"container-driver-library",
       "load library failed: libnvidia-ml.so.1: cannot open shared object file: no such file or directory"},
      {"container-requirement",
       "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.4, please update your "
       "driver"},
      {"container-rights", "Failed to initialize NVML: Unknown Error"},
      {"container-selinux", "Failed to initialize NVML: Insufficient Permissions"},
      {"driver-too-old", "CUDA driver version is insufficient for CUDA runtime version"},
      {"device-hidden", "no CUDA-capable device is detected"},
      {"device-code", "no kernel image is available for execution on the device"},
      {"driver-ptx", "the provided PTX was compiled with an unsupported toolchain."},
      {"driver-combination", "system has unsupported display driver / cuda driver combination"},
      {"driver-compat", "forward compatibility was attempted on non supported HW"},
      {"machine-fabric", "system not yet initialized"},
      {"device-busy", "CUDA-capable device(s) is/are busy or unavailable"},
      {"device-memory", "CUDA error 2: out of memory"},
      {"machine-uvm", "CUDA error 999: unknown error"},
      {"libraries-cudnn",
       "Unable to load any of {libcudnn_cnn.so.9.1.0, libcudnn_cnn.so.9.1, libcudnn_cnn.so.9, "
       "libcudnn_cnn.so}"},
      {"libraries-cudnn", "CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED"},
      {"libraries-cudnn", "CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH"},
      {"libraries-cublas", "Could not load library libcublasLt.so.12. Error: libcublasLt.so.12: cannot open"},
      {"libraries-cublas",
       "trainer: symbol lookup error: /usr/lib/libcublas.so.12: undefined symbol: "
       "cublasLtGetEnvironmentMode, "
       "version libcublasLt.so.12"},
      {"libraries-cublas", "trainer: /opt/libcublasLt.so.12: version `libcublasLt.so.12' not found"},
      {"container-no-gpu", "the container runs, but on the CPU"},
      {"libraries-missing",
       "trainer: error while loading shared libraries: libcudnn.so.9: cannot open shared object file"},
      {"container-cdi", "Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all"},
  };
  for (const Pasted& pasted : all) EXPECT_EQ(first_key(pasted.message), pasted.key) << pasted.message;
}

TEST(Explain, ReadsWhatATerminalMakesOfAMessage) {
  EXPECT_EQ(
      first_key("docker: Error response from daemon: could not select device driver \\\"\\\" with capabi\n"
                "lities: [[gpu]].\nRun 'docker run --help' for more information"),
      "container-toolkit");
  EXPECT_EQ(first_key("\x1b[31mFAILED TO INITIALIZE NVML:\x1b[0m   Driver/Library version\r\n mismatch\n"
                      "NVML library version: 550.54"),
            "driver-mismatch");
  EXPECT_EQ(first_key("\x1b]8;;http://a/\aCUDA out of\x1b[1m memory\x1b]8;;\a. Tried to allocate 20.00 MiB"),
            "device-memory");
  EXPECT_EQ(first_key("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0"),
            "container-requirement");
}

TEST(Explain, KnowsCodesByTheirNumber) {
  const Pasted all[] = {{"driver-combination", "CUDA error 803"},
                        {"driver-too-old", "CUDA runtime error (35)"},
                        {"device-code", "cuda_error: 209"},
                        {"device-hidden", "cudaErrorNoDevice (100)"},
                        {"machine-kernel", "CUDA 719, cudaErrorLaunchFailure"}};
  for (const Pasted& pasted : all) EXPECT_EQ(first_key(pasted.message), pasted.key) << pasted.message;
  EXPECT_EQ(first_key("I have CUDA 12.9 and 803 images"), "") << "a version and a count are no codes";
  EXPECT_EQ(first_key("exit code 35"), "");
}

TEST(Explain, PutsTheMoreSpecificRowFirstAndDropsWhatIsPartOfIt) {
  const Explanation both = explain(
      "nvidia-smi: Failed to initialize NVML: Unknown Error\nCUDA-capable device(s) is/are busy or "
      "unavailable");
  ASSERT_EQ(both.found.size(), 2U);
  EXPECT_EQ(both.found[0].key, "device-busy");
  EXPECT_EQ(both.found[1].key, "container-rights");
  const Explanation one = explain(
      "error while loading shared libraries: libcublasLt.so.13: cannot open shared "
      "object file: No such file or directory");
  ASSERT_EQ(one.found.size(), 1U);
  EXPECT_EQ(one.found[0].key, "libraries-cublas");
}

// What the program itself says is found too, in a row of the same class.
TEST(Explain, FindsTheProgramsOwnRefusals) {
  const auto expect_found = [](const PlayedGpus& gpus, int device = 0) {
    const auto failure = find_gpu_failure(gpus, device);
    ASSERT_TRUE(failure);
    const std::string said = "error: --device cuda:0: " + failure->text();
    const Explanation explanation = explain(said);
    ASSERT_FALSE(explanation.found.empty()) << said;
    EXPECT_EQ(explanation.found.front().exit, exit_class(failure->trouble)) << said << "\n"
                                                                            << explanation.found.front().key;
  };
  for (const int code : {2, 34, 46, 100, 209, 222, 719, 802, 803, 804, 999}) {
    for (const bool inside : {false, true}) {
      PlayedGpus gpus;
      gpus.fail(code);
      gpus.around.inside_container = inside;
      expect_found(gpus);
    }
  }
  PlayedGpus gpus;
  gpus.opened = 46;
  expect_found(gpus);
  gpus = {};
  expect_found(gpus, 7);
  gpus.gpu.major = 3;
  expect_found(gpus);
  gpus = {};
  gpus.fail(35);
  expect_found(gpus);
  gpus.take_driver_away();
  for (const int pci : {0, 1}) {
    for (const bool inside : {false, true}) {
      gpus.around.pci_gpus = pci;
      gpus.around.inside_container = inside;
      expect_found(gpus);
    }
  }
  gpus.around.device_files = {"/dev/nvidia0"};
  expect_found(gpus);
  gpus.around.inside_container = false;
  gpus.around.kernel_module = "580.1";
  expect_found(gpus);
  for (const char* hidden : {"", "7"}) {
    PlayedGpus blind;
    blind.fail(100);
    blind.around.cuda_visible_devices = hidden;
    expect_found(blind);
  }
  PlayedGpus none;
  none.fail(100);
  none.around.inside_container = true;
  none.around.nvidia_visible_devices = "none";
  expect_found(none);
}

TEST(Explain, WithoutARowTheNearestAreListed) {
  const Explanation explanation = explain("the kernel module of my driver is somehow gone");
  EXPECT_TRUE(explanation.found.empty());
  ASSERT_FALSE(explanation.nearest.empty());
  EXPECT_LE(explanation.nearest.size(), 3U);
  EXPECT_NE(explanation_text(explanation).find("no row"), std::string::npos);
  const Explanation nothing = explain("xyzzy");
  EXPECT_TRUE(nothing.found.empty() && nothing.nearest.empty());
  EXPECT_TRUE(explain("").found.empty());
  EXPECT_TRUE(explain("\x1b").found.empty());
  EXPECT_TRUE(explain(std::string(100000, '9') + "\x1b[").found.empty());
}

TEST(Explain, RowsAreWholeAndTheirPatternsFindThem) {
  for (const KnownFailure& row : known_failures()) {
    EXPECT_FALSE(row.cause.empty() || row.fix.empty() || row.patterns.empty()) << row.key;
    EXPECT_GE(static_cast<int>(row.exit), 10) << row.key;
    EXPECT_EQ(known_failure(row.key).cause, row.cause);
    for (const std::string& pattern : row.patterns) {
      bool found = false;
      for (const KnownFailure& other : explain(pattern).found) found = found || other.key == row.key;
      EXPECT_TRUE(found) << row.key << ": " << pattern;
    }
  }
}

}  // namespace
}  // namespace trainer::doctor
