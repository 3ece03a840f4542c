// The energy of a run, by a library that stands in for NVML (nvml_stand_in.cpp).
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "trainer/device/machine_state.hpp"

namespace trainer {
namespace {

DeviceInfo gpu(const std::string& bus_id) {
  DeviceInfo info;
  info.gpu.emplace();
  info.gpu->pci_bus_id = bus_id;
  return info;
}

TEST(EnergyMeter, CountsFromItsBeginningAndTheEarlierParts) {
  EXPECT_NEAR(EnergyMeter(gpu("0000:0a:00.0"), 0, TRAINER_NVML_STAND_IN).used().value_or(0), 1.5, 1e-9);
  const EnergyMeter resumed(gpu("0000:0a:00.0"), 20, TRAINER_NVML_STAND_IN);
  EXPECT_NEAR(resumed.used().value_or(0), 21.5, 1e-9);
  EXPECT_NEAR(resumed.used().value_or(0), 23, 1e-9);
}

TEST(EnergyMeter, SaysNothingWhereItDoesNotKnow) {
  EXPECT_FALSE(EnergyMeter(DeviceInfo{}, 0, TRAINER_NVML_STAND_IN).used()) << "a CPU";
  EXPECT_FALSE(EnergyMeter(gpu("06c3:00:00.0"), 0, TRAINER_NVML_STAND_IN).used())
      << "a GPU without the counter";
  EXPECT_FALSE(EnergyMeter(gpu("0000:0a:00.0"), 0, "libnvidia-ml-that-is-not-here.so.1").used());
  EXPECT_FALSE(EnergyMeter(gpu("0000:0a:00.0"), std::nullopt, TRAINER_NVML_STAND_IN).used())
      << "the beginning of the run is not known";
  DeviceInfo instance = gpu("0000:0a:00.0");
  instance.gpu->mig = true;
  EXPECT_FALSE(EnergyMeter(instance, 0, TRAINER_NVML_STAND_IN).used()) << "the counter is of the whole GPU";
}

TEST(GpuState, IsReadAtEachCallWhereNvmlTells) {
  const auto text = gpu_state_reader("06c3:00:00.0", TRAINER_NVML_STAND_IN)();
  EXPECT_TRUE(text.starts_with("GPU: SM ")) << text;
  EXPECT_NE(text.find(" 62 W of "), std::string::npos) << text;
  EXPECT_EQ(gpu_state_reader("0000:ff:00.0", TRAINER_NVML_STAND_IN)(), "") << "a GPU that is not here";
  EXPECT_EQ(gpu_state_reader("06c3:00:00.0", "libnvidia-ml-that-is-not-here.so.1")(), "");
}

TEST(PeakMemory, IsWhatTheKernelSays) {
  std::vector<char> touched(48 << 20U, 'x');
  std::ifstream status("/proc/self/status");
  std::uint64_t kibibytes = 0;
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) kibibytes = std::stoull(line.substr(6));
  ASSERT_GT(kibibytes, 48U << 10U);
  EXPECT_NEAR(static_cast<double>(peak_process_bytes()), 1024.0 * static_cast<double>(kibibytes), 8 << 20U);
  EXPECT_EQ(touched.back(), 'x');
}

}  // namespace
}  // namespace trainer
