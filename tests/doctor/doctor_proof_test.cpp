// trainer doctor --all on played devices: who is named, and why.
#include <gtest/gtest.h>

#include "trainer/doctor/fleet.hpp"

namespace trainer::doctor {
namespace {

TrainingOutcome trained(const std::string& weights, double seconds = 1) {
  return {"", seconds, weights};
}

// As many equal GPUs as there are sets of weights, each of two trainings.
std::vector<DeviceRow> rows_of(const std::vector<std::string>& weights) {
  std::vector<DeviceRow> rows;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    rows.push_back({.device = "cuda:" + std::to_string(i), .name = "NVIDIA H200"});
    rows.back().trainings = {trained(weights[i]), trained(weights[i])};
  }
  return rows;
}

void expect_findings(const std::vector<DeviceRow>& rows, const std::vector<std::string>& beginnings,
                     const std::string& word = "") {
  const std::vector<Check> findings = judge(rows);
  const std::string text = fleet_text(rows, findings);
  const auto json = fleet_json(rows, findings);
  ASSERT_EQ(findings.size(), beginnings.size()) << text;
  for (std::size_t i = 0; i < findings.size(); ++i) {
    const std::string odd = json["odd"][i];
    EXPECT_TRUE(odd.starts_with(beginnings[i])) << odd;
    EXPECT_NE(odd.find(word), std::string::npos) << odd;
    EXPECT_NE(text.find("problem  " + findings[i].name), std::string::npos) << text;
    EXPECT_NE(text.find(findings[i].finding), std::string::npos) << text;
  }
  EXPECT_EQ(json["healthy"], findings.empty());
  EXPECT_EQ(json["devices"].size(), rows.size());
}

TEST(DoctorAll, EqualDevicesWithEqualBitsAreHealthy) {
  expect_findings(rows_of({"a"}), {});
  expect_findings(rows_of({"a", "a"}), {});
  const auto rows = rows_of({"a", "a", "a", "a"});
  expect_findings(rows, {});
  EXPECT_NE(fleet_text(rows, {}).find("healthy: equal devices"), std::string::npos);
}

TEST(DoctorAll, TheMinorityAmongThreeOrMoreIsNamed) {
  expect_findings(rows_of({"a", "b", "a"}),
                  {"cuda:1: the same training ends with other weights than on cuda:0, cuda:2"});
  expect_findings(rows_of({"a", "b", "a", "c", "a"}), {"cuda:1:", "cuda:3:"});
}

TEST(DoctorAll, OnlyTheDeviceThatIsOddIsMarked) {
  std::vector<std::string> weights(12, "a");
  weights[1] = weights[10] = "b";
  const auto rows = rows_of(weights);
  const std::string text = fleet_text(rows, judge(rows));
  for (const char* line : {"note     cuda:1 ", "note     cuda:10 ", "ok       cuda:0 ", "ok       cuda:11 ",
                           "problem  cuda:1, cuda:10 "})
    EXPECT_NE(text.find(line), std::string::npos) << line << " is not in\n" << text;
}

TEST(DoctorAll, TwoThatDifferAreBothNamed) {
  expect_findings(rows_of({"a", "b"}), {"cuda:0, cuda:1:"}, "without more of NVIDIA H200");
  expect_findings(rows_of({"a", "b", "a", "b"}), {"cuda:0, cuda:1, cuda:2, cuda:3:"});
}

TEST(DoctorAll, ADeviceThatDiffersFromItselfIsNamedAndNotItsEquals) {
  auto rows = rows_of({"a", "a"});
  rows[1].trainings[1].weights = "b";
  expect_findings(rows, {"cuda:1: the same training ended with 2 different sets of weights"});
  EXPECT_NE(fleet_text(rows, {}).find("differ"), std::string::npos);
  auto alone = rows_of({"a"});
  alone[0].trainings[0].weights = "b";
  expect_findings(alone, {"cuda:0: the same training ended with 2"});
}

TEST(DoctorAll, OnlyDevicesOfOneNameAreCompared) {
  auto rows = rows_of({"a", "b"});
  rows[1].name = "Tesla T4";
  rows[1].trainings = {trained("b", 9), trained("b", 9)};
  expect_findings(rows, {});
}

TEST(DoctorAll, ASlowDeviceIsNamedWithTheReason) {
  auto rows = rows_of({"a", "a"});
  rows[1].trainings = {trained("a", 1.3), trained("a", 1.3)};
  rows[1].held_back = {"idle", "temperature limit"};
  rows[1].speed = {{"reasons", {"power cap 300 W (made for 700 W)"}}};
  expect_findings(rows,
                  {"cuda:1: 30 % slower than the fastest NVIDIA H200 (power cap 300 W (made for 700 W), held "
                   "back by: temperature limit)"});
  rows[1].trainings = {trained("a", 1.05), trained("a", 1.05)};
  expect_findings(rows, {});
  rows[1].trainings = {trained("a", 2), trained("a", 2)};
  for (DeviceRow& row : rows) row.gpu = false;
  expect_findings(rows, {});
}

TEST(DoctorAll, TheTimeOfTwoTrainingsIsTheMeanOfBoth) {
  auto rows = rows_of({"a"});
  rows[0].trainings = {trained("a", 1), trained("a", 2)};
  EXPECT_EQ(median_seconds(rows[0]), 1.5);
}

TEST(DoctorAll, ACrashAFailedMeasurementErrorsAndFaultsAreFindings) {
  auto rows = rows_of({"a", "a", "a", "a"});
  rows[0].trainings[1] = {"it died of signal 11", 0, ""};
  rows[1].speed_error = "CUDA 719";
  rows[2].speed = {{"uncorrected_errors", 2}, {"memory_bytes_per_second", nullptr}};
  rows[3].new_xids = 1;
  expect_findings(
      rows, {"cuda:0: 1 of 2 trainings failed: it died of signal 11", "cuda:1: the test of its speed failed",
             "cuda:2: 2 memory errors", "cuda:3: the kernel logged 1"});
}

TEST(DoctorAll, RowsOfFailedTrainingsAloneHaveNoTime) {
  auto rows = rows_of({"a", "a"});
  for (TrainingOutcome& training : rows[0].trainings) training = {"no", 0, ""};
  expect_findings(rows, {"cuda:0: 2 of 2 trainings failed"});
  EXPECT_EQ(median_seconds(rows[0]), 0);
  EXPECT_EQ(slowdown(rows[1], rows), 0);
  EXPECT_NE(fleet_text(rows, {}).find("NVIDIA H200: 0 of 2 trainings\n"), std::string::npos);
}

TEST(DoctorAll, XidsAreCountedByDevice) {
  const std::string log =
      "4,1,2,-;NVRM: Xid (PCI:0000:C1:00): 79, pid=1, GPU has fallen off the bus.\n"
      "6,2,3,-;usb 1-1: new device\n"
      "4,3,4,-;NVRM: Xid (PCI:0000:c1:00): 48, pid=1\n4,4,5,-;NVRM: Xid (PCI:0000:02:00): 13, x\nNVRM: Xid "
      "(PCI:";
  EXPECT_EQ(count_xids(log, "0000:c1:00.0"), 2);
  EXPECT_EQ(count_xids(log, "0000:02:00.0"), 1);
  EXPECT_EQ(count_xids(log, "0000:03:00.0"), 0);
  EXPECT_EQ(count_xids("", "0000:c1:00.0"), 0);
}

TEST(DoctorAll, WhatIsKnownOfADeviceIsInItsLine) {
  auto rows = rows_of({"0123456789", "0123456789"});
  rows[0].speed = {{"upload_bytes_per_second", 25e9},
                   {"download_bytes_per_second", nullptr},
                   {"peers", {{{"device", 1}, {"bytes_per_second", 200e9}}}}};
  rows[0].lowest_clock_mhz = 1755;
  rows[0].xids = 0;
  EXPECT_NE(
      fleet_text(rows, {}).find("NVIDIA H200: 2 of 2 trainings, an epoch in 1.000 s (0.0 % slower), weights "
                                "01234567, 25.0 GB/s to it, 200.0 GB/s to cuda:1, SM clock at least 1755 "
                                "MHz, 0 faults (Xid) logged\n"),
      std::string::npos)
      << fleet_text(rows, {});
}

}  // namespace
}  // namespace trainer::doctor
