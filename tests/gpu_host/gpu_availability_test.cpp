// Every failure of gpu_failure.hpp, played: the text names the cause and the next step, and nothing else is
// blamed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/gpu_host/gpu_failure.hpp"
#include "tests/gpu_host/played_gpus.hpp"

namespace trainer {
namespace {

using test::PlayedGpus;

std::string reason(const PlayedGpus& gpus, int device = 0) {
  const auto failure = find_gpu_failure(gpus, device);
  return failure ? failure->text() : "";
}

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    EXPECT_NE(text.find(word), std::string::npos) << "'" << word << "' is not in: " << text;
  }
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
}

TEST(GpuAvailability, NothingIsWrongWithAGoodGpu) {
  const PlayedGpus gpus;
  EXPECT_FALSE(find_gpu_failure(gpus, 0));
  EXPECT_FALSE(find_gpu_failure(gpus, 1));
}

TEST(GpuAvailability, CauseAndNextStepAreNeverEmpty) {
  PlayedGpus gpus;
  for (int code = 1; code < 1000; ++code) {
    gpus.fail(code);
    const auto failure = find_gpu_failure(gpus, 0);
    ASSERT_TRUE(failure) << code;
    EXPECT_FALSE(failure->cause.empty()) << code;
    EXPECT_FALSE(failure->fix.empty()) << code;
    EXPECT_NE(failure->cause.find(fmt::format("CUDA {}, its text", code)), std::string::npos)
        << failure->cause;
  }
}

TEST(GpuAvailability, AMachineWithoutAGpuIsNotToldToInstallADriver) {
  PlayedGpus gpus;
  gpus.take_driver_away();
  expect_words(reason(gpus), {"no NVIDIA GPU", "libcuda.so.1", "PCI bus", "--device cpu"});
  EXPECT_EQ(reason(gpus).find("install"), std::string::npos);
}

TEST(GpuAvailability, AGpuWithoutItsDriverIsToldApartFromNoGpu) {
  PlayedGpus gpus;
  gpus.take_driver_away();
  gpus.around.pci_gpus = 4;
  expect_words(reason(gpus), {"no NVIDIA driver", "4 NVIDIA GPUs", "install the driver", "nvidia-smi"});
}

TEST(GpuAvailability, ALoadedModuleWithoutLibcudaAsksForTheLibraries) {
  PlayedGpus gpus;
  gpus.take_driver_away();
  gpus.around.kernel_module = "535.54.03";
  expect_words(reason(gpus), {"libcuda.so.1", "535.54.03", "libnvidia-compute", "ldconfig"});
}

TEST(GpuAvailability, AContainerStartedWithoutGpusIsToldTheFlag) {
  PlayedGpus gpus;
  gpus.take_driver_away();
  gpus.around.inside_container = true;
  expect_words(reason(gpus), {"container", "docker run --gpus all", "nvidia.com/gpu=all"});
  gpus.around.device_files = {"/dev/nvidia0"};
  expect_words(reason(gpus), {"container", "libcuda.so.1", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"});
}

TEST(GpuAvailability, AnOldDriverIsNamedWithBothVersions) {
  PlayedGpus gpus;
  gpus.fail(35);
  gpus.around.driver_version = 12020;
  gpus.around.kernel_module = "535.54.03";
  expect_words(reason(gpus), {"too old", "/usr/lib/libcuda.so.1", "535.54.03", "CUDA 12.2", "CUDA 13.0",
                              "driver 580 or newer"});
  gpus.around.runtime_version = 12090;
  gpus.around.driver_version = 11040;
  expect_words(reason(gpus), {"CUDA 11.4", "CUDA 12.9", "driver 525 or newer"});
  gpus.around.driver_version = 0;
  expect_words(reason(gpus), {"does not say which CUDA"});
}

TEST(GpuAvailability, VariablesThatHideEveryGpuAreNamedWithTheDeviceFiles) {
  PlayedGpus gpus;
  gpus.fail(100);
  gpus.around.cuda_visible_devices = "";
  expect_words(reason(gpus), {"CUDA_VISIBLE_DEVICES is empty", "NVIDIA_VISIBLE_DEVICES unset",
                              "/dev/nvidia-uvm /dev/nvidia0 /dev/nvidia1 /dev/nvidiactl", "unset it"});
  gpus.around.cuda_visible_devices = "7";
  gpus.around.nvidia_visible_devices = "all";
  expect_words(reason(gpus), {"CUDA_VISIBLE_DEVICES='7'", "NVIDIA_VISIBLE_DEVICES 'all'", "nvidia-smi -L"});
}

// A scheduler sets the variable to a number that is here: then something else hides the GPU.
TEST(GpuAvailability, AVariableThatMayNameAGpuIsNotCalledTheCause) {
  PlayedGpus gpus;
  gpus.fail(100);
  for (const char* may : {"0", "1", "1,0", "GPU-8f2c", "MIG-8f2c"}) {
    gpus.around.cuda_visible_devices = may;
    EXPECT_EQ(reason(gpus).find("names no GPU"), std::string::npos) << may;
    expect_words(reason(gpus), {"finds no GPU", "mig -cgi", may});
  }
  for (const char* none : {"2", "9,0", "-1", "cuda", "99999999999999999999"}) {
    gpus.around.cuda_visible_devices = none;
    expect_words(reason(gpus), {"names no GPU that is here", none});
  }
  gpus.around.cuda_visible_devices = "NoDevFiles";
  expect_words(reason(gpus), {"Slurm gave this job no GPU", "--gpus=1"});
  gpus.around.cuda_visible_devices = "2";
  gpus.around.pci_gpus = 0;
  expect_words(reason(gpus), {"finds no GPU"});
}

TEST(GpuAvailability, InAContainerTheRightsComeFirst) {
  PlayedGpus gpus;
  gpus.fail(100);
  gpus.around.inside_container = true;
  gpus.around.cuda_visible_devices = "0";
  expect_words(reason(gpus), {"may not use", "daemon-reload"});
  gpus.around.cuda_visible_devices = "";
  expect_words(reason(gpus), {"CUDA_VISIBLE_DEVICES is empty"});
}

TEST(GpuAvailability, Wsl2WithoutTheDriversLibraryIsToldToUpdateWindows) {
  PlayedGpus gpus;
  gpus.take_driver_away();
  gpus.around.wsl = true;
  gpus.around.device_files = {"/dev/dxg"};
  expect_words(reason(gpus), {"/dev/dxg", "/usr/lib/wsl/lib", "wsl --update"});
}

// Rows without words of the program's own give their cause and the code.
TEST(GpuAvailability, ACodeWithARowOfItsOwnIsToldByIt) {
  PlayedGpus gpus;
  gpus.fail(805);
  expect_words(reason(gpus), {"MPS", "CUDA 805"});
  gpus.fail(214);
  expect_words(reason(gpus), {"CUDA 214"});
}

TEST(GpuAvailability, ACountOfZeroIsNoDeviceToo) {
  PlayedGpus gpus;
  gpus.counted = {0, 0};
  gpus.around.cuda_visible_devices = "-1";
  expect_words(reason(gpus), {"CUDA 100", "CUDA_VISIBLE_DEVICES='-1'"});
}

TEST(GpuAvailability, AContainerThatSeesNoDeviceIsToldWhy) {
  PlayedGpus gpus;
  gpus.fail(100);
  gpus.around.inside_container = true;
  expect_words(reason(gpus), {"may not use", "daemon-reload", "--gpus all"});
  gpus.around.nvidia_visible_devices = "none";
  expect_words(reason(gpus), {"NVIDIA_VISIBLE_DEVICES keeps", "NVIDIA_VISIBLE_DEVICES=all"});
  gpus.around.nvidia_visible_devices.reset();
  gpus.around.device_files.clear();
  expect_words(reason(gpus), {"no GPU was given", "no /dev/nvidia*", "--gpus all"});
}

TEST(GpuAvailability, ADriverWithoutDevicesIsLookedAtOnTheHost) {
  PlayedGpus gpus;
  gpus.fail(100);
  expect_words(reason(gpus), {"finds no GPU", "580.65.06", "nvidia-smi", "modprobe"});
}

TEST(GpuAvailability, ADeviceOutOfRangeIsToldTheRange) {
  PlayedGpus gpus;
  expect_words(reason(gpus, 3), {"no GPU 3", "2, cuda:0 to cuda:1", "trainer devices"});
  gpus.counted = {0, 1};
  gpus.around.cuda_visible_devices = "0";
  expect_words(reason(gpus, 1), {"no GPU 1", "one, cuda:0", "CUDA_VISIBLE_DEVICES '0'"});
  EXPECT_FALSE(reason(gpus, -1).empty());
}

TEST(GpuAvailability, ADeviceWithoutCodeIsShownBesideTheBuiltArchitectures) {
  PlayedGpus gpus;
  gpus.gpu = test::played_gpu("Tesla V100", 7, 0);
  expect_words(reason(gpus),
               {"Tesla V100", "7.0", "75 80 90 120 + PTX 120", "-DCMAKE_CUDA_ARCHITECTURES=70", "CUDA 12.9"});
  gpus.gpu = test::played_gpu("Tesla K80", 3, 7);
  expect_words(reason(gpus), {"Tesla K80", "cannot be built for less than 7.0", "--device cpu"});
  gpus.built = "90-real";
  gpus.gpu = test::played_gpu("NVIDIA T4", 7, 5);
  expect_words(reason(gpus), {"built for 90;", "-DCMAKE_CUDA_ARCHITECTURES=75"});
}

TEST(GpuAvailability, ABusyOrClosedDeviceIsNamedWithItsMode) {
  PlayedGpus gpus;
  gpus.opened = 46;
  gpus.gpu.compute_mode = "exclusive process";
  expect_words(reason(gpus, 1), {"GPU 1", "NVIDIA H200", "busy", "exclusive process", "nvidia-smi -c DEFAULT",
                                 "--device cuda:N", "MIG"});
}

TEST(GpuAvailability, ADeviceThatDoesNotAnswerIsExplained) {
  PlayedGpus gpus;
  gpus.described = 999;
  expect_words(reason(gpus), {"CUDA 999", "nvidia-uvm"});
}

struct Row {
  int code;
  std::vector<std::string> words;
};

TEST(GpuAvailability, TheOtherCodesHaveTheirOwnFix) {
  const Row rows[] = {{2, {"memory for a context", "nvidia-smi"}},
                      {34, {"stub", "/usr/lib/libcuda.so.1", "LD_LIBRARY_PATH"}},
                      {46, {"busy", "compute mode"}},
                      {209, {"compute capability", "CMAKE_CUDA_ARCHITECTURES"}},
                      {222, {"PTX", "newer than the driver", "CUDA 13.0"}},
                      {802, {"NVSwitch", "nvidia-fabricmanager"}},
                      {803, {"does not belong", "580.65.06", "/usr/lib/libcuda.so.1", "reboot"}},
                      {804, {"forward-compatibility", "compat", "update the driver"}},
                      {999, {"nvidia-uvm", "/dev/nvidia0", "sudo nvidia-modprobe -u"}},
                      {719, {"CUDA 719", "nvidia-smi"}}};
  for (const Row& row : rows) {
    PlayedGpus gpus;
    gpus.opened = row.code;
    if (row.code != 46) expect_words(reason(gpus), row.words);
    gpus.opened = 0;
    gpus.fail(row.code);
    expect_words(reason(gpus), row.words);
  }
}

TEST(GpuAvailability, AMismatchInsideAContainerBlamesTheImage) {
  PlayedGpus gpus;
  gpus.fail(803);
  gpus.around.inside_container = true;
  expect_words(reason(gpus), {"the image brings", "LD_LIBRARY_PATH"});
}

}  // namespace
}  // namespace trainer
