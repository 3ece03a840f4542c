// NVML is loaded at run time, so a stand-in library (nvml_stand_in.cpp) can be loaded in its place on any
// machine.
#include "kernels/gpu_host/nvml.hpp"

#include <gtest/gtest.h>

namespace trainer {
namespace {

using Words = std::vector<std::string>;

GpuInfo reading_of(const Nvml& nvml, const char* bus_id) {
  GpuInfo gpu;
  gpu.pci_bus_id = bus_id;
  nvml.read(&gpu);
  return gpu;
}

TEST(Nvml, ReadsWhatTheLibraryTells) {
  const Nvml nvml(TRAINER_NVML_STAND_IN);
  EXPECT_EQ(nvml.driver_version(), "470.82.01");
  EXPECT_EQ(nvml.devices(), 2);
  const GpuInfo reading = reading_of(nvml, "06c3:00:00.0");
  EXPECT_EQ(reading.sensors.power_watts, 61.5);
  EXPECT_EQ(reading.sensors.power_limit_watts, 149.0);
  EXPECT_EQ(reading.sensors.temperature_celsius, 45);
  EXPECT_EQ(reading.sensors.utilisation_percent, 7);
  EXPECT_EQ(reading.sensors.sm_clock_mhz, 562);
  EXPECT_EQ(reading.sensors.memory_clock_mhz, 2505);
  EXPECT_EQ(reading.sensors.throttle_reasons, (Words{"idle", "power limit"})) << "under the older name";
  EXPECT_EQ(reading.free_bytes, 11931222016U);
}

TEST(Nvml, ReadsTheConditionBesideTheSensors) {
  const Nvml nvml(TRAINER_NVML_STAND_IN);
  EXPECT_EQ(nvml.start(), 0);
  const GpuSensors condition = reading_of(nvml, "06c3:00:00.0").sensors;
  EXPECT_EQ(condition.power_default_watts, 175.0);
  EXPECT_EQ(condition.sm_clock_peak_mhz, 875);
  EXPECT_EQ(condition.pcie_lanes, 8);
  EXPECT_EQ(condition.pcie_lanes_peak, 16);
  EXPECT_EQ(condition.nvlinks, 1);
  EXPECT_EQ(condition.processes, 3);
  EXPECT_EQ(condition.corrected_errors, 40U);
  EXPECT_EQ(condition.uncorrected_errors, 1U);
  EXPECT_FALSE(condition.pcie_generation) << "not told";
}

TEST(Nvml, WhatTheDeviceDoesNotTellStaysEmpty) {
  const GpuInfo reading = reading_of(Nvml(TRAINER_NVML_STAND_IN), "06c3:00:00.0");
  EXPECT_FALSE(reading.sensors.energy_joules) << "not supported";
  EXPECT_FALSE(reading.mig) << "no such function";
}

TEST(Nvml, EnergyIsReadAlone) {
  const Nvml nvml(TRAINER_NVML_STAND_IN);
  const std::optional<double> before = nvml.energy_joules("0000:0a:00.0");
  ASSERT_TRUE(before);
  EXPECT_NEAR(nvml.energy_joules("0000:0a:00.0").value_or(0) - *before, 1.5, 1e-9);
  EXPECT_FALSE(nvml.energy_joules("06c3:00:00.0")) << "not supported";
  EXPECT_FALSE(nvml.energy_joules("0000:00:00.0")) << "unknown";
  EXPECT_FALSE(Nvml("libnvidia-ml-that-is-not-here.so.1").energy_joules("0000:0a:00.0"));
}

void expect_nothing(const GpuInfo& reading) {
  const GpuSensors& sensors = reading.sensors;
  EXPECT_FALSE(sensors.power_watts || sensors.power_limit_watts || sensors.energy_joules);
  EXPECT_FALSE(sensors.temperature_celsius || sensors.utilisation_percent);
  EXPECT_FALSE(sensors.sm_clock_mhz || sensors.memory_clock_mhz || sensors.throttle_reasons);
  EXPECT_FALSE(reading.mig || reading.free_bytes);
}

TEST(Nvml, AnUnknownDeviceHasNoReadings) {
  expect_nothing(reading_of(Nvml(TRAINER_NVML_STAND_IN), "0000:00:00.0"));
}

TEST(Nvml, AMissingOrForeignLibraryIsNoError) {
  for (const char* library : {"libnvidia-ml-that-is-not-here.so.1", "libm.so.6"}) {
    const Nvml nvml(library);
    EXPECT_EQ(nvml.driver_version(), "") << library;
    EXPECT_FALSE(nvml.start()) << library;
    expect_nothing(reading_of(nvml, "06c3:00:00.0"));
  }
}

TEST(ThrottleReasons, AreWordsInTheOrderOfTheirBits) {
  EXPECT_EQ(throttle_reasons(0), Words{});
  EXPECT_EQ(throttle_reasons(0x1), Words{"idle"});
  EXPECT_EQ(throttle_reasons(0x64), (Words{"power limit", "temperature limit", "hardware temperature stop"}));
  EXPECT_EQ(throttle_reasons(0x180), (Words{"external power brake", "display clocks set"}));
  EXPECT_EQ(throttle_reasons(0x600), Words{"reason 0x600"});
}

}  // namespace
}  // namespace trainer
