// WSL 2 as a machine of its own, played: the driver is that of Windows, /dev/dxg stands in place of /dev/nvidia*, and what
// NVML does not pass on is absent with a reason.
#include <algorithm>
#include <gtest/gtest.h>
#include <sstream>

#include "tests/gpu_host/played_gpus.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/words.hpp"
#include "trainer/doctor/checks.hpp"

namespace trainer::doctor {
namespace {

using test::PlayedGpus;

// A laptop's GPU, as WSL 2 shows it.
PlayedGpus wsl_gpus() {
  PlayedGpus gpus;
  gpus.counted.devices = 1;
  gpus.gpu = test::played_gpu("NVIDIA GeForce RTX 4060", 8, 9);
  gpus.gpu.pci_bus_id = "06c3:00:00.0";  // the stand-in for NVML knows it, and tells no energy
  gpus.around.wsl = true;
  gpus.around.device_files = {"/dev/dxg"};
  gpus.around.pci_gpus = 0;
  gpus.around.kernel_module = gpus.around.driver_library_version = "";
  gpus.around.driver_library = "/usr/lib/wsl/lib/libcuda.so.1";
  return gpus;
}

Facts facts_of(const PlayedGpus& gpus) {
  Facts facts;
  facts.gpu = gather_gpu(gpus, Nvml(TRAINER_NVML_STAND_IN), 0);
  facts.gpu.engine = true;
  if (facts.gpu.info)
    facts.gpu.info->sensors.corrected_errors = facts.gpu.info->sensors.uncorrected_errors = {};
  facts.files = {"data/mnist", "60000 + 10000 images", "", "runs", "", 1ULL << 30U};
  return facts;
}

Check check(const Facts& facts, const std::string& name) {
  const std::vector<Check> all = check_all(facts);
  const auto found = std::ranges::find(all, name, &Check::name);
  return found == all.end() ? Check{} : *found;
}

TEST(DoctorInWsl, AGoodGpuIsHealthyAndItsDriverIsThatOfWindows) {
  const Facts facts = facts_of(wsl_gpus());
  const std::vector<Check> checks = check_all(facts);
  EXPECT_EQ(class_of(checks), FailureClass::healthy) << report_text(facts, checks);
  expect_words(report_text(facts, checks), {"this Linux runs in Windows", "/usr/lib/wsl/lib/libcuda.so.1",
                                            "the driver of Windows", "healthy: trains on GPU 0"});
  EXPECT_EQ(check(facts, "device files").finding, "/dev/dxg");
  EXPECT_EQ(check(facts, "device files").state, CheckState::ok);
  EXPECT_EQ(check(facts, "visibility").finding.substr(0, 24), "this process sees 1 of 1");
}

TEST(DoctorInWsl, WhatNvmlDoesNotPassOnIsNamedAndNoError) {
  Facts facts = facts_of(wsl_gpus());
  EXPECT_EQ(check(facts, "NVML").finding, "answers; WSL 2 does not pass on: energy_joules");
  facts.gpu.info->sensors = {};
  EXPECT_EQ(check(facts, "NVML").state, CheckState::ok);
  expect_words(check(facts, "NVML").finding, {"power_limit_watts, temperature_celsius, utilisation_percent"});
  EXPECT_EQ(check(facts, "GPU errors").finding, "neither the driver nor NVML tells it");
  EXPECT_EQ(class_of(check_all(facts)), FailureClass::healthy);
  facts.gpu.around.wsl = false;
  EXPECT_EQ(check(facts, "NVML").finding, "answers") << "elsewhere nobody is to blame";
}

TEST(DoctorInWsl, ThePageForWindowsShowsItsRows) {
  Facts facts = facts_of(wsl_gpus());
  facts.gpu.info->sensors.utilisation_percent.reset();
  const std::string report = report_text(facts, check_all(facts));
  const std::string page = test::read_text(TRAINER_SOURCE_DIR "/docs/windows.md");
  const std::string mark = "```text\n";
  std::istringstream rows(
      page.substr(page.find(mark) + mark.size(), page.rfind("```\n") - page.find(mark) - mark.size()));
  int count = 0;
  for (std::string row; std::getline(rows, row); ++count)
    EXPECT_NE(report.find(row + "\n"), std::string::npos) << row << "\n" << report;
  EXPECT_EQ(count, 4);
}

TEST(DoctorInWsl, AnNvmlThatIsNotThatOfWindowsIsTold) {
  Facts facts = facts_of(wsl_gpus());
  facts.gpu.nvml.reset();
  expect_words(check(facts, "NVML").finding, {"libnvidia-ml.so.1 is not here", "/usr/lib/wsl/lib"});
  EXPECT_EQ(check(facts, "NVML").state, CheckState::note);
  for (const int code : {9, 17}) {
    facts.gpu.nvml = code;
    EXPECT_EQ(check(facts, "NVML").state, CheckState::problem) << code;
    expect_words(check(facts, "NVML").fix, {"wsl --update", "from inside WSL"});
  }
}

struct Broken {
  const char* what;
  void (*how)(PlayedGpus*);
  std::vector<std::string> words;
};

TEST(DoctorInWsl, EveryPlayedFailureIsToldInItsTerms) {
  const std::vector<Broken> all{
      {"no libcuda",
       [](PlayedGpus* g) { g->fail(35), g->around.driver_library = ""; },
       {"/usr/lib/wsl/lib", "NVIDIA's driver of Windows", "--device cpu"}},
      {"no dxg",
       [](PlayedGpus* g) { g->fail(35), g->around.driver_library = "", g->around.device_files.clear(); },
       {"no /dev/dxg", "WSL 1", "wsl -l -v"}},
      {"an old driver",
       [](PlayedGpus* g) { g->fail(35), g->around.driver_version = 12020; },
       {"driver is too old, which is that of Windows", "CUDA 12.2", "driver 580 or newer in Windows"}},
      {"no device", [](PlayedGpus* g) { g->fail(100); }, {"gives WSL no GPU", "wsl --update"}},
      {"a driver for Linux finds no device",
       [](PlayedGpus* g) {
         g->fail(100), g->around.driver_library = "/usr/lib/x86_64-linux-gnu/libcuda.so.1";
       },
       {"/usr/lib/x86_64-linux-gnu/libcuda.so.1", "hides that of Windows", "apt purge"}},
      {"a driver for Linux fails",
       [](PlayedGpus* g) { g->fail(999), g->around.driver_library = "/usr/lib/libcuda.so.1"; },
       {"hides that of Windows", "ldconfig"}},
      {"the variable hides it",
       [](PlayedGpus* g) { g->fail(100), g->around.cuda_visible_devices = ""; },
       {"CUDA_VISIBLE_DEVICES is empty"}},
  };
  for (const Broken& broken : all) {
    SCOPED_TRACE(broken.what);
    PlayedGpus gpus = wsl_gpus();
    broken.how(&gpus);
    Facts facts = facts_of(gpus);
    facts.require_gpu = true;
    const Check gpu = check(facts, "GPU");
    EXPECT_EQ(gpu.state, CheckState::problem);
    expect_words(gpu.cause + "; " + gpu.fix, broken.words);
    EXPECT_EQ((gpu.cause + gpu.fix).find("modprobe"), std::string::npos) << gpu.fix;
  }
}

TEST(DoctorInWsl, AContainerThereIsAContainerFirst) {
  PlayedGpus gpus = wsl_gpus();
  gpus.fail(35);
  gpus.around.driver_library = "";
  gpus.around.device_files.clear();
  gpus.around.inside_container = true;
  Facts facts = facts_of(gpus);
  facts.require_gpu = true;
  expect_words(check(facts, "GPU").cause + check(facts, "GPU").fix, {"no GPU was given to this container"});
}

}  // namespace
}  // namespace trainer::doctor
