// What a build without the GPU engine knows of GPUs: a machine played in a folder, and a stand-in for the
// driver's library.
#include <gtest/gtest.h>

#include "kernels/gpu_host/gpu_failure.hpp"
#include "tests/support/temporary_folder.hpp"

namespace trainer {
namespace {

using test::TemporaryFolder;

struct Variable {
  std::string name;
  Variable(std::string the_name, const char* value) : name(std::move(the_name)) {
    setenv(name.c_str(), value, 1);
  }
  ~Variable() { unsetenv(name.c_str()); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
};

TEST(GpuSurroundings, AreReadFromDevProcAndSys) {
  TemporaryFolder root;
  for (const char* name : {"dev/nvidia0", "dev/nvidiactl", "dev/sda", "run/.containerenv"})
    root.write(name, "");
  root.write("dev/nvidia-caps/cap1", "");
  root.write("proc/driver/nvidia/version",
             "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC 12");
  root.write("sys/bus/pci/devices/0/vendor", "0x10de\n");
  root.write("sys/bus/pci/devices/0/class", "0x030200\n");
  root.write("sys/bus/pci/devices/1/vendor", "0x10de\n");
  root.write("sys/bus/pci/devices/1/class", "0x040300\n");
  const GpuSurroundings around = look_at_surroundings({root.path(), "libcuda-not-here.so"});
  EXPECT_TRUE(around.inside_container);
  EXPECT_EQ(around.device_files, (std::vector<std::string>{"/dev/nvidia0", "/dev/nvidiactl"}));
  EXPECT_EQ(around.pci_gpus, 1) << "the other one is its sound";
  EXPECT_EQ(around.kernel_module, "580.65.06");
  EXPECT_EQ(around.driver_library, "");
}

TEST(GpuSurroundings, EveryMarkOfAContainerIsKnown) {
  for (const char* mark : {".dockerenv", "run/.containerenv", "run/systemd/container"}) {
    const TemporaryFolder root;
    EXPECT_FALSE(inside_container(root.path()));
    root.write(mark, "");
    EXPECT_TRUE(inside_container(root.path())) << mark;
  }
}

TEST(GpuSurroundings, WslIsKnownByItsKernelAndItsDevice) {
  const auto wsl = [](const std::string& version, const char* device = "dev/null") {
    const TemporaryFolder root;
    root.write("proc/version", version);
    root.write(device, "");
    return look_at_surroundings({root.path(), "libcuda-not-here.so"}).wsl;
  };
  EXPECT_TRUE(
      wsl("Linux version 5.15.153.1-microsoft-standard-WSL2 (root@941d701f84f1) (gcc (GCC) 11.2.0) #1 SMP"));
  EXPECT_TRUE(wsl("Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) (gcc version 5.4.0) #1237"));
  EXPECT_TRUE(wsl("Linux version 6.6.36.3-mine (me@here)", "dev/dxg")) << "a kernel of the user's own";
  EXPECT_FALSE(wsl("Linux version 6.1.0-9-amd64 (builder@Microsoft.com) (gcc-12)"));
  EXPECT_FALSE(wsl(""));
}

TEST(GpuSurroundings, AnEmptyMachineShowsNothing) {
  const TemporaryFolder root;
  const GpuSurroundings around = look_at_surroundings({root.path(), "libcuda-not-here.so"});
  EXPECT_FALSE(around.inside_container);
  EXPECT_TRUE(around.device_files.empty() && around.kernel_module.empty());
  EXPECT_EQ(around.pci_gpus, 0);
}

TEST(GpuSurroundings, TheDriversVersionIsThatOfTheFileThatItsLinkLeadsTo) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(TRAINER_LIBCUDA_STAND_IN, folder / "libcuda.so.535.54.03");
  std::filesystem::create_symlink("libcuda.so.535.54.03", folder / "libcuda.so.1");
  const GpuSurroundings around = look_at_surroundings({folder.path(), (folder / "libcuda.so.1").string()});
  EXPECT_EQ(around.driver_library_version, "535.54.03");
  EXPECT_EQ(around.driver_version, 12040);
}

TEST(DriverProbe, AsksTheDriverAlone) {
  const auto probe = make_driver_probe({"/", TRAINER_LIBCUDA_STAND_IN});
  EXPECT_EQ(probe->count().code, 0);
  EXPECT_EQ(probe->count().devices, 2);
  GpuInfo gpu;
  EXPECT_EQ(probe->describe(0, &gpu), 0);
  EXPECT_EQ(gpu.name, "NVIDIA H200");
  EXPECT_EQ(gpu.major, 9);
  EXPECT_EQ(gpu.compute_mode, "default");
  EXPECT_EQ(gpu.pci_bus_id, "0000:c1:00.0");
  EXPECT_FALSE(find_gpu_failure(*probe, 0));
  EXPECT_EQ(probe->surroundings().driver_version, 12040);
}

TEST(DriverProbe, AnOldAndAClosedGpuAreFailuresAsElsewhere) {
  const auto probe = make_driver_probe({"/", TRAINER_LIBCUDA_STAND_IN});
  const auto failure = find_gpu_failure(*probe, 1);
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind, FailureClass::no_code) << failure->text();
  EXPECT_EQ(probe->open(1), 46);
  GpuInfo gpu;
  EXPECT_EQ(probe->describe(1, &gpu), 0);
  EXPECT_EQ(gpu.compute_mode, "exclusive process");
  EXPECT_EQ(probe->describe(5, &gpu), 101);
}

TEST(DriverProbe, AFailedStartIsTheFailure) {
  const Variable code("STAND_IN_CUINIT", "803");
  const auto probe = make_driver_probe({"/", TRAINER_LIBCUDA_STAND_IN});
  const auto failure = find_gpu_failure(*probe, 0);
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind, FailureClass::driver_version);
  EXPECT_NE(failure->text().find("unsupported display driver"), std::string::npos) << failure->text();
}

TEST(DriverProbe, AMissingOrForeignLibraryIsAFailureAndNoCrash) {
  const TemporaryFolder root;
  const auto none = make_driver_probe({root.path(), "libcuda-not-here.so"});
  EXPECT_EQ(none->count().code, 35);
  ASSERT_TRUE(find_gpu_failure(*none, 0));
  EXPECT_EQ(find_gpu_failure(*none, 0)->key, "no-gpu");
  const auto foreign = make_driver_probe({root.path(), "libm.so.6"});
  EXPECT_NE(foreign->count().code, 0);
  GpuInfo gpu;
  EXPECT_NE(foreign->describe(0, &gpu), 0);
  EXPECT_NE(foreign->open(0), 0);
  EXPECT_TRUE(find_gpu_failure(*foreign, 0));
}

}  // namespace
}  // namespace trainer
