// How the speeds that trainer doctor measures are judged.
#include <algorithm>
#include <gtest/gtest.h>

#include "tests/support/words.hpp"
#include "trainer/doctor/checks.hpp"

namespace trainer::doctor {
namespace {

SpeedFacts h200_speed() {
  SpeedFacts speed;
  speed.gpu = true;
  speed.precision = "bf16";
  speed.flops = 750e12;
  speed.flops_expected = 990e12;
  speed.memory_bytes = 4.3e12;
  speed.memory_expected = 4.8e12;
  speed.upload_bytes = 12e9;
  speed.download_bytes = 11e9;
  speed.sensors.power_limit_watts = 700;
  speed.sensors.power_default_watts = 700;
  speed.sensors.sm_clock_mhz = 1900;
  speed.sensors.sm_clock_peak_mhz = 1980;
  return speed;
}

Check check_speed(const SpeedFacts& speed) {
  Facts facts;
  facts.asks_for_cpu = true;
  facts.speed = speed;
  const std::vector<Check> checks = check_all(facts);
  return *std::ranges::find(checks, "speed", &Check::name);
}

TEST(DoctorSpeed, AGoodGpuIsOkWithItsNumbers) {
  SpeedFacts speed = h200_speed();
  speed.peers = {{1, 200e9}};
  const Check check = check_speed(speed);
  EXPECT_EQ(check.state, CheckState::ok);
  expect_words(check.finding, {"750 TFLOP/s of 990 in bf16", "memory 4300 GB/s of 4800", "12.0 GB/s to it",
                               "200.0 GB/s to cuda:1"});
}

TEST(DoctorSpeed, ASlowGpuIsNotedWithTheShareOfItsClassAndTheReason) {
  SpeedFacts speed = h200_speed();
  speed.flops = 406e12;
  speed.sensors.power_limit_watts = 300;
  Check check = check_speed(speed);
  EXPECT_EQ(check.state, CheckState::note);
  expect_words(check.finding, {"this GPU runs at 41 % of its class: power cap 300 W (made for 700 W)"});
  speed.sensors.power_limit_watts = 700;
  speed.sensors.sm_clock_mhz = 900;
  speed.sensors.throttle_reasons = {"idle", "temperature limit"};
  speed.sensors.processes = 3;
  check = check_speed(speed);
  expect_words(check.finding, {"SM clock 900 of 1980 MHz", "held back by: temperature limit", "3 processes"});
  EXPECT_EQ(check.finding.find("idle"), std::string::npos);
}

TEST(DoctorSpeed, ANarrowLinkIsNotedThoughTheRestIsGood) {
  SpeedFacts speed = h200_speed();
  speed.sensors.pcie_lanes = 4;
  speed.sensors.pcie_lanes_peak = 16;
  expect_words(check_speed(speed).finding, {"PCIe with 4 of 16 lanes"});
  EXPECT_EQ(check_speed(speed).state, CheckState::note);
  speed.sensors.pcie_lanes = 16;
  speed.sensors.pcie_generation = 1;
  EXPECT_EQ(check_speed(speed).state, CheckState::ok) << "its peak is not told";
  speed.sensors.pcie_generation_peak = 5;
  EXPECT_EQ(check_speed(speed).state, CheckState::note);
  expect_words(check_speed(speed).finding, {"PCIe generation 1 of 5"});
}

TEST(DoctorSpeed, AProcessorIsMeasuredAndNotJudged) {
  SpeedFacts speed;
  speed.precision = "fp32";
  speed.flops = 0.2e12;
  speed.memory_bytes = 20e9;
  speed.load = 0.9;
  const Check check = check_speed(speed);
  EXPECT_EQ(check.state, CheckState::ok);
  expect_words(check.finding,
               {"200 GFLOP/s in fp32", "20 GB/s", "other programs load the processors (90 % busy)"});
}

TEST(DoctorSpeed, IsJsonWithNullForWhatIsUnknown) {
  SpeedFacts speed = h200_speed();
  speed.peers = {{1, 200e9}};
  speed.upload_bytes = 0;
  speed.sensors.throttle_reasons = {"power limit"};
  const auto json = speed_json(speed);
  EXPECT_EQ(json["flops_per_second"], speed.flops);
  EXPECT_TRUE(json["upload_bytes_per_second"].is_null());
  EXPECT_EQ(json["peers"][0]["bytes_per_second"], 200e9);
  EXPECT_EQ(json["throttle_reasons"][0], "power limit");
}

}  // namespace
}  // namespace trainer::doctor
