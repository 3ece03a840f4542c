// Every check of trainer doctor on played machines: what is found, its cause and fix, and the exit status.
#include <algorithm>
#include <functional>
#include <gtest/gtest.h>

#include "tests/gpu_host/played_gpus.hpp"
#include "tests/support/words.hpp"
#include "trainer/doctor/checks.hpp"

namespace trainer::doctor {
namespace {

using test::PlayedGpus;

constexpr std::uint64_t kGibibyte = 1ULL << 30U, kLeast = kGibibyte / 2;  // that must be free

// The facts of a machine in order, with the GPUs of `gpus` as a build with the engine sees them.
Facts facts_of(const PlayedGpus& gpus) {
  Facts facts;
  facts.program = "trainer 1";
  facts.gpu.engine = true;
  facts.gpu.architectures = gpus.built;
  facts.gpu.around = gpus.around;
  facts.gpu.devices = gpus.counted.devices;
  facts.gpu.failure = find_gpu_failure(gpus, 0);
  facts.gpu.nvml = 0;
  if (gpus.counted.devices > 0) {
    facts.gpu.info = gpus.gpu;
    facts.gpu.info->free_bytes = 100 * kGibibyte;
  }
  facts.cpu = {"a CPU", 2, {}, 2, "AVX-512 with bf16", "x86-64-v4", 8 * kGibibyte, kLeast, "2.6.3"};
  facts.files = {"data/mnist", "60000 + 10000 images", "", "runs", "", kGibibyte};
  return facts;
}

const Check* find(const std::vector<Check>& checks, const std::string& name) {
  const auto found = std::ranges::find(checks, name, &Check::name);
  return found == checks.end() ? nullptr : &*found;
}

// The report's text and exit status, and that every problem has a cause and a fix, in one line each.
void expect_report(const Facts& facts, FailureClass exit, const std::vector<std::string>& words) {
  const std::vector<Check> checks = check_all(facts);
  EXPECT_EQ(class_of(checks), exit) << report_text(facts, checks);
  for (const Check& check : checks) {
    EXPECT_FALSE(check.finding.empty()) << check.name;
    EXPECT_EQ((check.finding + check.cause + check.fix).find('\n'), std::string::npos) << check.name;
    if (check.state != CheckState::problem) continue;
    EXPECT_FALSE(check.cause.empty() || check.fix.empty()) << check.name;
    EXPECT_GE(exit_status(check.kind), 10) << check.name;
  }
  expect_words(report_text(facts, checks), words);
  const auto json = report_json(facts, checks);
  EXPECT_EQ(json["exit_status"], static_cast<int>(exit));
  EXPECT_EQ(json["checks"].size(), checks.size());
}

TEST(Doctor, AGoodGpuIsHealthyAndNamed) {
  const Facts facts = facts_of(PlayedGpus());
  expect_report(facts, FailureClass::healthy,
                {"NVIDIA H200", "compute capability 9.0", "runs the machine code of 90",
                 "healthy: trains on GPU 0, NVIDIA H200", "580.65.06"});
}

TEST(Doctor, AMachineWithoutAGpuIsHealthyUnlessOneIsRequired) {
  PlayedGpus gpus;
  gpus.take_driver_away();
  Facts facts = facts_of(gpus);
  expect_report(facts, FailureClass::healthy,
                {"healthy: trains on the CPU, 2 cores, AVX-512 with bf16", "no NVIDIA GPU here"});
  EXPECT_EQ(find(check_all(facts), "driver")->finding, "no NVIDIA GPU here");
  facts.require_gpu = true;
  expect_report(facts, FailureClass::no_device,
                {"problem", "no NVIDIA GPU to be seen", "fix", "--device cpu"});
}

TEST(Doctor, EveryCheckWasRunOrSaysWhyNotAndHealthyNamesWhatWasRun) {
  Facts facts = facts_of(PlayedGpus());
  facts.gpu.info->mig = false;
  facts.gpu.info->sensors.uncorrected_errors = 0;
  expect_report(
      facts, FailureClass::healthy,
      {"\nnot run  libraries, cuBLASLt: this program needs none\n", "\nnot run  speed: --quick",
       "\nnot run  proof: trainer doctor --prove",
       "; run: program, container, driver, device files, visibility, GPU, GPU memory, compute mode, "
       "MIG, GPU errors, NVML, CPU, memory, data, results\n"});
  facts.asks_for_cpu = true;
  const std::vector<Check> checks = check_all(facts);
  EXPECT_EQ(find(checks, "GPU errors")->finding, "--device cpu");
  EXPECT_EQ(report_json(facts, checks)["checks"].back()["state"], "not run");
}

struct Broken {
  const char* what;
  std::function<void(PlayedGpus*)> how;
  FailureClass exit;
  std::vector<std::string> words;
};

// The way to the driver and its devices.
std::vector<Broken> failures_on_the_way() {
  return {
      {"no libcuda",
       [](PlayedGpus* g) { g->take_driver_away(), g->around.pci_gpus = 1; },
       FailureClass::no_driver,
       {"no NVIDIA driver", "install the driver"}},
      {"no libcuda, module loaded",
       [](PlayedGpus* g) { g->take_driver_away(), g->around.kernel_module = "580.65.06"; },
       FailureClass::no_driver,
       {"cannot be loaded although", "ldconfig"}},
      {"container without --gpus",
       [](PlayedGpus* g) {
         g->take_driver_away(), g->around.pci_gpus = 1, g->around.inside_container = true;
       },
       FailureClass::container,
       {"no GPU was given to this container", "docker run --gpus all"}},
      {"container without the driver's libraries",
       [](PlayedGpus* g) {
         g->take_driver_away(), g->around.device_files = {"/dev/nvidia0"}, g->around.inside_container = true;
       },
       FailureClass::container,
       {"NVIDIA_DRIVER_CAPABILITIES=compute,utility"}},
      {"old driver",
       [](PlayedGpus* g) { g->fail(35), g->around.driver_version = 12020; },
       FailureClass::driver_version,
       {"too old", "CUDA 12.2", "driver 580 or newer"}},
      {"empty CUDA_VISIBLE_DEVICES",
       [](PlayedGpus* g) { g->fail(100), g->around.cuda_visible_devices = ""; },
       FailureClass::no_device,
       {"CUDA_VISIBLE_DEVICES is empty", "unset it"}},
      {"missing device files",
       [](PlayedGpus* g) { g->fail(100), g->around.device_files.clear(); },
       FailureClass::no_device,
       {"missing: /dev/nvidia0 /dev/nvidiactl /dev/nvidia-uvm", "finds no GPU"}},
  };
}

// The device itself.
std::vector<Broken> failures_of_the_device() {
  return {
      {"wrong architecture",
       [](PlayedGpus* g) { g->gpu.name = "Tesla V100", g->gpu.major = 7; },
       FailureClass::no_code,
       {"Tesla V100", "built for 75 80 90 120", "CMAKE_CUDA_ARCHITECTURES=70"}},
      {"exclusive mode",
       [](PlayedGpus* g) { g->opened = 46, g->gpu.compute_mode = "exclusive process"; },
       FailureClass::busy,
       {"busy or closed", "exclusive process", "nvidia-smi -c DEFAULT"}},
      {"no memory for a context", [](PlayedGpus* g) { g->opened = 2; }, FailureClass::busy, {"memory"}},
      {"mismatch", [](PlayedGpus* g) { g->fail(803); }, FailureClass::driver_version, {"does not belong"}},
      {"compat", [](PlayedGpus* g) { g->fail(804); }, FailureClass::driver_version, {"forward-compat"}},
      {"fabric manager",
       [](PlayedGpus* g) { g->fail(802); },
       FailureClass::machine,
       {"nvidia-fabricmanager"}},
      {"uvm", [](PlayedGpus* g) { g->fail(999); }, FailureClass::machine, {"nvidia-modprobe -u"}},
      {"stub", [](PlayedGpus* g) { g->fail(34); }, FailureClass::driver_version, {"stub"}},
      {"PTX",
       [](PlayedGpus* g) { g->opened = 222; },
       FailureClass::driver_version,
       {"newer than the driver"}},
      {"two drivers",
       [](PlayedGpus* g) { g->around.driver_library_version = "570.1"; },
       FailureClass::driver_version,
       {"libcuda is of driver 570.1", "580.65.06", "reboot"}},
  };
}

TEST(Doctor, EveryPlayedFailureHasItsClassCauseAndFix) {
  std::vector<Broken> all = failures_on_the_way();
  for (const Broken& broken : failures_of_the_device()) all.push_back(broken);
  for (const Broken& broken : all) {
    SCOPED_TRACE(broken.what);
    PlayedGpus gpus;
    broken.how(&gpus);
    expect_report(facts_of(gpus), broken.exit, broken.words);
  }
}

TEST(Doctor, ABuildWithoutTheEngineSaysWhatAGpuBuildWouldUse) {
  Facts facts = facts_of(PlayedGpus());
  facts.gpu.engine = false;
  expect_report(facts, FailureClass::healthy,
                {"NVIDIA H200 is here", "built without the GPU engine", "trains on the CPU", "train.sh"});
  facts.require_gpu = true;
  expect_report(facts, FailureClass::no_code, {"NVIDIA H200", "fix"});
  PlayedGpus old;
  old.fail(803);
  facts = facts_of(old);
  facts.gpu.engine = false;
  expect_report(facts, FailureClass::healthy, {"could not use it either", "does not belong"});
}

TEST(Doctor, DeviceCpuAsksForNoGpu) {
  PlayedGpus gpus;
  gpus.fail(999);
  Facts facts = facts_of(gpus);
  facts.asks_for_cpu = true;
  expect_report(facts, FailureClass::healthy, {"trains on the CPU", "--device cpu"});
}

TEST(Doctor, TheGpusStateIsLookedAt) {
  Facts facts = facts_of(PlayedGpus());
  facts.gpu.info->free_bytes = 100 << 20;
  expect_report(facts, FailureClass::busy, {"0.10 GiB free", "nvidia-smi"});
  facts = facts_of(PlayedGpus());
  facts.gpu.info->sensors.uncorrected_errors = 3;
  expect_report(facts, FailureClass::machine, {"3 that ECC could not correct", "replaced"});
  facts = facts_of(PlayedGpus());
  facts.gpu.info->mig = true;
  facts.gpu.info->compute_mode = "exclusive process";
  expect_report(facts, FailureClass::healthy, {"MIG", "an instance", "one process at a time"});
}

TEST(Doctor, NvmlsFailuresAreToldApart) {
  Facts facts = facts_of(PlayedGpus());
  const std::vector<std::pair<int, FailureClass>> codes{{18, FailureClass::driver_version},
                                                        {9, FailureClass::no_driver},
                                                        {4, FailureClass::container},
                                                        {999, FailureClass::healthy},
                                                        {1, FailureClass::healthy}};
  for (const auto& [code, exit] : codes) {
    facts.gpu.nvml = code;
    expect_report(facts, exit, {fmt::format("does not start (code {})", code)});
  }
  facts.gpu.around.inside_container = true;
  facts.gpu.nvml = 999;
  expect_report(facts, FailureClass::container, {"daemon-reload", "nvidia.com/gpu=all"});
  facts.gpu.nvml.reset();
  expect_report(facts, FailureClass::healthy, {"libnvidia-ml.so.1 is not in this container"});
}

TEST(Doctor, AMixedOrIncompleteCudnnIsNamed) {
  Facts facts = facts_of(PlayedGpus());
  facts.cudnn = {true,
                 false,
                 "9.10.2",
                 {{"libz.so.1", "/lib/libz.so.1", "", ""},
                  {"libcudnn_ops.so.9", "/a/libcudnn_ops.so.9.10.2", "9.10.2", ""},
                  {"libcudnn_cnn.so.9", "/a/libcudnn_cnn.so.9.10.2", "9.10.2", ""}},
                 {}};
  expect_report(facts, FailureClass::healthy, {"cuDNN 9.10.2, its 3 parts are here and of one version"});
  Facts broken = facts;
  broken.cudnn.parts[2].version = "9.1.0";
  expect_report(broken, FailureClass::libraries, {"9.10.2 and 9.1.0", "whole and once"});
  broken = facts;
  broken.cudnn.parts[1].error = "cannot open shared object file";
  expect_report(broken, FailureClass::libraries, {"libcudnn_ops.so.9 (cannot open", "engines_precompiled"});
  broken = facts;
  broken.cudnn.mixed = {"cudnnCnnVersionCheck"};
  expect_report(broken, FailureClass::libraries, {"of another version cudnnCnnVersionCheck"});
  broken = facts;
  broken.cudnn.crashed = true;
  expect_report(broken, FailureClass::libraries, {"ends the process"});
}

TEST(Doctor, ACublasOfAnotherCudaIsNamed) {
  Facts facts = facts_of(PlayedGpus());
  facts.gpu.around.runtime_version = 13010;
  EXPECT_EQ(find(check_all(facts), "cuBLASLt")->finding, "this program needs none");
  facts.cublas = {{{"libcublasLt.so.13", "/a/libcublasLt.so.13.1.0.3", "13.1.0.3", ""}}, "13.1.0", 13010, ""};
  expect_report(facts, FailureClass::healthy, {"cuBLASLt", "13.1.0, /a/libcublasLt.so.13.1.0.3"});
  EXPECT_EQ(find(check_all(facts), "cuBLASLt")->state, CheckState::ok);
  Facts other = facts;
  other.cublas.cuda_version = 13000;
  expect_report(other, FailureClass::healthy, {"of CUDA 13.0, older than this program's 13.1"});
  EXPECT_EQ(find(check_all(other), "cuBLASLt")->state, CheckState::note);
  other.cublas.cuda_version = 12040;
  expect_report(other, FailureClass::libraries, {"is of CUDA 12.4, this program of 13.1", "LD_LIBRARY_PATH"});
  other = facts;
  other.cublas.loaded.push_back({"libcublasLt.so.12", "/b/libcublasLt.so.12.4.5.8", "12.4.5.8", ""});
  expect_report(other, FailureClass::libraries, {"several are loaded: /a/libcublasLt.so.13.1.0.3 and /b/"});
  other = facts;
  other.cublas.version = "";
  expect_report(other, FailureClass::libraries, {"/a/libcublasLt.so.13.1.0.3 is none"});
  other.cublas = {};
  other.cublas.error = "libcublasLt.so.13: cannot open shared object file: No such file or directory";
  expect_report(other, FailureClass::libraries, {"libcublasLt.so.13: cannot open", "ldconfig"});
}

TEST(Doctor, FilesAndMemoryAreLookedAt) {
  Facts facts = facts_of(PlayedGpus());
  facts.files.data_error = "data/mnist: not there";
  expect_report(facts, FailureClass::files, {"data/mnist: not there", "--data"});
  facts = facts_of(PlayedGpus());
  facts.files.runs_error = "/root cannot be written";
  expect_report(facts, FailureClass::files, {"/root cannot be written", "TRAINER_RUNS"});
  facts = facts_of(PlayedGpus());
  facts.files.runs_free_bytes = 1000;
  expect_report(facts, FailureClass::files, {"the disk is full"});
  facts = facts_of(PlayedGpus());
  facts.cpu.available_bytes = kLeast - 1;
  expect_report(facts, FailureClass::files, {"too little memory"});
  facts = facts_of(PlayedGpus());
  facts.speed_error = "CUDA 719";
  expect_report(facts, FailureClass::machine, {"the test failed", "CUDA 719"});
}

}  // namespace
}  // namespace trainer::doctor
