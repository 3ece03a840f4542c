// The table of failures: messages as people paste them, and the row that each must find.
#include "kernels/gpu_host/known_failures.hpp"

#include <gtest/gtest.h>
#include <set>

#include "tests/gpu_host/played_gpus.hpp"
#include "tests/support/child_process.hpp"

namespace trainer {
namespace {

using test::PlayedGpus;

std::string first_key(const std::string& message) {
  const Explanation explanation = explain(message);
  return explanation.found.empty() ? "" : std::string(explanation.found.front().key);
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

TEST(Explain, AGapStaysOnItsLineAndOneLineBreakWithinATextDoesNot) {
  EXPECT_EQ(first_key("ssh: connect to host vm port 22: Connection refused"), "target-refuses");
  EXPECT_EQ(first_key("connect to host vm\nfine\nconnection refused"), "");
  EXPECT_EQ(first_key("no CUDA-capable\ndevice is detected"), "device-hidden");
  EXPECT_EQ(first_key("no CUDA-capable\n\ndevice is detected"), "")
      << "an empty line ends what belongs together";
  EXPECT_EQ(first_key("said 'no CUDA-capable device is detected\\n'"), "device-hidden")
      << "a written line break";
}

TEST(Explain, TextsAreWholeWords) {
  EXPECT_EQ(first_key("CUDA_ERROR_NO_DEVICES_LEFT"), "");
  EXPECT_EQ(first_key("wrapped_CUDA_ERROR_NO_DEVICE"), "");
  EXPECT_EQ(first_key("Could not load library libcublasLt.so.12"), "libraries-cublas")
      << "a final * is the rest of the word";
}

TEST(Explain, OnlyANumberThatIsCalledACodeIsOne) {
  EXPECT_EQ(first_key("cuInit returned 999"), "machine-uvm");
  EXPECT_EQ(first_key("CUDA driver error 719"), "machine-kernel");
  for (const char* none : {"CUDA_ARCHITECTURES=100", "CUDA 100", "cudaMalloc(719)",
                           "cuda 12.9, error rate 35 %", "failed call to cuInit", "100"})
    EXPECT_EQ(first_key(none), "") << none;
  EXPECT_EQ(first_key("failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"),
            "device-hidden");
  EXPECT_EQ(first_key("failed call to cuInit: UNKNOWN ERROR (100)"), "");
}

TEST(Explain, XidNumbersHaveTheirClasses) {
  EXPECT_EQ(first_key("NVRM: Xid (PCI:0000:c1:00): 79, pid=1, something"), "machine-lost");
  EXPECT_EQ(first_key("NVRM: Xid (PCI:0000:c1:00): 94, pid=1, something"), "machine-xid-memory");
  EXPECT_EQ(first_key("NVRM: Xid (PCI:0000:c1:00): 999, something"), "machine-xid") << "one without a class";
}

TEST(Explain, TheMemoryOfTheMachineIsNotThatOfTheGpu) {
  EXPECT_EQ(first_key("Out of memory: Killed process 71 (trainer) total-vm:9kB, anon-rss:8kB"),
            "machine-oom");
  EXPECT_EQ(first_key("Memory cgroup out of memory: Killed process 71 (trainer)"), "machine-oom-container");
  EXPECT_EQ(first_key("CUDA out of memory. Tried to allocate 2.00 GiB"), "device-memory");
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

// What the program itself says is found too, in its own row.
TEST(Explain, FindsTheProgramsOwnRefusals) {
  const auto expect_found = [](const PlayedGpus& gpus, int device = 0) {
    const auto failure = find_gpu_failure(gpus, device);
    ASSERT_TRUE(failure);
    const std::string said = "error: --device cuda:0: " + failure->text();
    const Explanation explanation = explain(said);
    ASSERT_FALSE(explanation.found.empty()) << said;
    EXPECT_EQ(explanation.found.front().key, failure->key) << said;
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
  const Explanation nothing = explain("xyzzy");
  EXPECT_TRUE(nothing.found.empty() && nothing.nearest.empty());
  EXPECT_TRUE(explain("").found.empty());
  EXPECT_TRUE(explain("\x1b").found.empty());
  EXPECT_TRUE(explain(std::string(100000, '9') + "\x1b[").found.empty());
}

// A refusal of the program quotes the runtime's own text for the code, which is another row's message.
TEST(Explain, WhatTheProgramFoundComesBeforeWhatItQuotes) {
  EXPECT_EQ(
      first_key(
          "error: --device cuda: no GPU was given to this container (CUDA 100, cudaErrorNoDevice: no "
          "CUDA-capable device is detected, CUDA_VISIBLE_DEVICES unset, device files: no /dev/nvidia*); "
          "start it with 'docker run --gpus all'"),
      "container-no-gpu");
}

TEST(KnownFailures, EveryExampleIsFoundByItsOwnRowAndNoOther) {
  for (const KnownFailure& row : known_failures()) {
    const Explanation explanation = explain(row.example);
    ASSERT_EQ(explanation.found.size(), 1U) << row.example << "\n"
                                            << (explanation.found.size() > 1 ? explanation.found[1].key : "");
    EXPECT_EQ(explanation.found[0].key, row.key) << row.example;
  }
}

TEST(KnownFailures, EveryTextOfARowFindsIt) {
  for (const KnownFailure& row : known_failures()) {
    std::vector<std::string> texts(row.says.begin(), row.says.end());
    for (const Finding& finding : row.found) texts.push_back(filled_in(finding.cause));
    for (const std::string& text : texts) {
      bool found = false;
      for (const KnownFailure& other : explain(text).found) found = found || other.key == row.key;
      EXPECT_TRUE(found) << row.key << ": " << text;
    }
  }
}

TEST(KnownFailures, KeysAreOnceAndEveryClassHasItsMeaning) {
  std::set<std::string_view> keys;
  std::set<std::string_view> meanings{meaning(FailureClass::healthy), meaning(FailureClass::failed)};
  for (const KnownFailure& row : known_failures()) {
    EXPECT_TRUE(keys.insert(row.key).second) << row.key;
    EXPECT_EQ(known_failure(row.key).cause, row.cause);
    EXPECT_NE(meaning(row.kind), meaning(FailureClass::failed)) << row.key;
  }
  for (const ClassMeaning& row : class_meanings())
    EXPECT_TRUE(meanings.insert(row.meaning).second) << row.meaning;
  EXPECT_EQ(meaning(FailureClass::busy), "the GPU is busy, closed, or its memory is taken");
  EXPECT_EQ(exit_status(FailureClass::wrong_results), 19);
  EXPECT_EQ(exit_status(FailureClass::docker), 1) << "what a target's commands end with";
  EXPECT_THROW((void)known_failure("gpu-on-fire"), std::logic_error);
  EXPECT_THROW((void)found_failure("no-gpu", "at night", {}), std::logic_error);
}

// The build ends where a row is not whole, and names its place.
TEST(KnownFailures, ARowThatIsNotWholeEndsTheBuild) {
  const std::string head = "class: busy\nmeaning: taken\nfailures:\n  - key: a\n    example: b\n";
  const std::string rest = "    cause: c\n    sure: d\n    fix: e\n";
  const std::vector<std::pair<std::string, std::string>> files{
      {head + "    says: [b]\n" + rest, ""},
      {head + "    says: [b]\n    cause: c\n    sure: d\n", "line 4: no fix"},
      {head + "    says: [b]\n    hint: x\n" + rest, "line 7: unknown field hint"},
      {head + "    says: [b]\n    cause: x\n" + rest, "cause is given twice"},
      {head + rest, "line 4: no message finds this row"},
      {head + "    says: [a* b]\n" + rest, "*"},
      {head + "    xids: [79]\n" + rest, ""},
      {"class: idle\nmeaning: taken\nfailures: []\n", "the class is not the file's name"},
      {"class: [", "error"}};
  test::TemporaryFolder folder;
  for (const auto& [text, fault] : files) {
    const std::string path = folder.write("busy.yaml", text).string();
    const test::Outcome outcome =
        test::ChildProcess({TRAINER_WRITE_TABLE, (folder / "table.cpp").string(), path}).wait();
    EXPECT_EQ(outcome.code, fault.empty() ? 0 : 1) << text << outcome.err;
    EXPECT_NE(outcome.err.find(fault), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.err.starts_with(path + ": "), !fault.empty()) << outcome.err;
  }
}

TEST(KnownFailures, WordsInBracesAreFilledIn) {
  EXPECT_EQ(filled_in("{host} is {there}{user}'s, '{ssh}'", {{"host", "vm"}}),
            "vm is USER's, 'ssh USER@HOST'");
  EXPECT_EQ(filled_in("{a}{", {{"a", "{b}"}}), "{b}{");
  const Failure failure = failure_of(known_failure("docker-no-image"), {{"image", "a:1"}, {"name", "vm"}});
  EXPECT_EQ(failure.text(": "), "it has no image a:1: trainer prepare -c vm");
  EXPECT_EQ((Failure{.cause = "only this"}.text()), "only this");
}

}  // namespace
}  // namespace trainer
