// trainer doctor --all on played devices: who is named, and why; and its rounds.
#include <gtest/gtest.h>

#include "trainer/doctor/several.hpp"
#include "trainer/doctor/several_report.hpp"

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
  const std::vector<std::string> findings = judge(rows);
  const std::string text = several_text(rows, findings);
  ASSERT_EQ(findings.size(), beginnings.size()) << text;
  for (std::size_t i = 0; i < findings.size(); ++i) {
    EXPECT_TRUE(findings[i].starts_with(beginnings[i])) << findings[i];
    EXPECT_NE(findings[i].find(word), std::string::npos) << findings[i];
    EXPECT_NE(text.find("odd      " + findings[i]), std::string::npos);
  }
  const auto json = several_json(rows, findings);
  EXPECT_EQ(json["healthy"], findings.empty());
  EXPECT_EQ(json["devices"].size(), rows.size());
}

TEST(DoctorAll, EqualDevicesWithEqualBitsAreHealthy) {
  expect_findings(rows_of({"a"}), {});
  expect_findings(rows_of({"a", "a"}), {});
  const auto rows = rows_of({"a", "a", "a", "a"});
  expect_findings(rows, {});
  EXPECT_NE(several_text(rows, {}).find("healthy: equal devices"), std::string::npos);
}

TEST(DoctorAll, TheMinorityAmongThreeOrMoreIsNamed) {
  expect_findings(rows_of({"a", "b", "a"}),
                  {"cuda:1: the same training ends with other weights than on cuda:0, cuda:2"});
  expect_findings(rows_of({"a", "b", "a", "c", "a"}), {"cuda:1:", "cuda:3:"});
}

TEST(DoctorAll, TwoThatDifferAreBothNamed) {
  expect_findings(rows_of({"a", "b"}), {"cuda:0, cuda:1:"}, "without more of NVIDIA H200");
  expect_findings(rows_of({"a", "b", "a", "b"}), {"cuda:0, cuda:1, cuda:2, cuda:3:"});
}

TEST(DoctorAll, ADeviceThatDiffersFromItselfIsNamedAndNotItsEquals) {
  auto rows = rows_of({"a", "a"});
  rows[1].trainings[1].weights = "b";
  expect_findings(rows, {"cuda:1: the same training ended with 2 different sets of weights"});
  EXPECT_NE(several_text(rows, {}).find("differ"), std::string::npos);
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
  expect_findings(rows,
                  {"cuda:1: 30 % slower than the fastest NVIDIA H200 (held back by: temperature limit)"});
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
  rows[2].speed = SpeedFacts{};
  rows[2].speed->condition.uncorrected_errors = 2;
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
  EXPECT_NE(several_text(rows, {}).find("n/a"), std::string::npos);
}

TEST(DoctorAll, XidsAreCountedByDevice) {
  const std::string log =
      "4,1,2,-;NVRM: Xid (PCI:0000:C1:00): 79, pid=1, GPU has fallen off the bus.\n"
      "6,2,3,-;usb 1-1: new device\n"
      "4,3,4,-;NVRM: Xid (PCI:0000:c1:00): 48, pid=1\n4,4,5,-;NVRM: Xid (PCI:0000:02:00): 13, x\nNVRM: Xid "
      "(PCI:";
  const auto counts = count_xids(log);
  EXPECT_EQ(counts.at("0000:c1:00"), 2);
  EXPECT_EQ(counts.at("0000:02:00"), 1);
  EXPECT_TRUE(count_xids("").empty());
}

// Its clock goes on by a second a round; it is asked to stop before round `stop_at`.
struct PlayedDevices : Devices {
  int rounds = 0;
  int measured = 0;
  int stop_at = 1000;
  void train_all(std::vector<DeviceRow>* rows) override {
    ++rounds;
    for (DeviceRow& row : *rows) row.trainings.push_back(trained("a"));
  }
  void measure(DeviceRow* row) override {
    ++measured;
    row->speed = SpeedFacts{};
  }
  bool asked_to_stop() const override { return rounds + 1 >= stop_at; }
  double seconds() const override { return rounds; }
};

TEST(DoctorAll, RoundsGoOnUntilTheTimeIsOverAndAreTwoAtLeast) {
  for (const auto& [seconds, rounds] : {std::pair{0.0, 2}, {1.5, 2}, {5.0, 5}}) {
    PlayedDevices devices;
    std::vector<DeviceRow> rows{{.device = "cuda:0", .name = "a"}, {.device = "cuda:1", .name = "a"}};
    std::vector<std::string> said;
    test_devices({seconds, [&](const std::string& line) { said.push_back(line); }}, devices, &rows);
    EXPECT_EQ(devices.rounds, rounds) << seconds;
    EXPECT_EQ(devices.measured, 2);
    EXPECT_EQ(rows[1].trainings.size(), static_cast<std::size_t>(rounds));
    EXPECT_EQ(said.size(), static_cast<std::size_t>(rounds) + 2);
  }
}

TEST(DoctorAll, StopsWhenAskedTo) {
  PlayedDevices devices;
  devices.stop_at = 3;
  std::vector<DeviceRow> rows{{.device = "cuda:0", .name = "a"}};
  test_devices({1000}, devices, &rows);
  EXPECT_EQ(devices.rounds, 2);
}

}  // namespace
}  // namespace trainer::doctor
