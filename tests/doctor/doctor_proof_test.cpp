// trainer doctor --prove and --all on played devices: what is said of whom, and why.
#include <gtest/gtest.h>

#include "tests/support/words.hpp"
#include "trainer/doctor/proof.hpp"

namespace trainer::doctor {
namespace {

// As many equal GPUs as there are digests, each of two trainings.
Proof proof_of(const std::vector<std::string>& digests) {
  Proof proof{.network = "sprint-lean", .digest = "a"};
  for (const std::string& digest : digests) {
    proof.rows.push_back({.device = "cuda:" + std::to_string(proof.rows.size()), .name = "NVIDIA H200"});
    proof.rows.back().runs = {{"", 1, digest}, {"", 2, digest}};
  }
  return proof;
}

void expect_findings(const Proof& proof, const std::vector<std::string>& beginnings, int status) {
  const std::vector<Check> findings = judge(proof);
  const std::string text = proof_text(proof, findings);
  const auto json = proof_json(proof, findings);
  ASSERT_EQ(findings.size(), beginnings.size()) << text;
  for (std::size_t i = 0; i < findings.size(); ++i) {
    const std::string odd = json["odd"][i];
    EXPECT_TRUE(odd.starts_with(beginnings[i])) << odd;
    expect_words(text, {"problem  " + findings[i].name, findings[i].finding});
  }
  EXPECT_EQ(exit_status(class_of(findings)), status) << text;
  EXPECT_EQ(json["exit_status"], status);
  EXPECT_EQ(json["healthy"], findings.empty());
  EXPECT_EQ(json["devices"].size(), proof.rows.size());
}

TEST(DoctorProof, DevicesThatMeetTheDigestAreHealthyInWhatWasRun) {
  expect_findings(proof_of({"a"}), {}, 0);
  Proof proof = proof_of({"a", "a"});
  proof.not_run = {{CheckState::not_run, "speed", "--all measures it"}};
  expect_findings(proof, {}, 0);
  expect_words(
      proof_text(proof, {}),
      {"ok       cuda:1        NVIDIA H200: proven, 2 of 2 trainings in 1.00, 2.00 s, digest a\n",
       "\nnot run  speed: --all measures it\n",
       "\nhealthy in what was run: sprint-lean ended 2 times with the digest in this program on cuda:0, "
       "cuda:1\n"});
}

TEST(DoctorProof, EachDeviceWithAnotherDigestIsWrongHoweverManyAgree) {
  expect_findings(proof_of({"b"}), {"cuda:0: 2 of 2 trainings ended with another digest"}, 19);
  expect_findings(proof_of({"b", "a", "b"}), {"cuda:0: 2 of 2", "cuda:2: 2 of 2"}, 19);
  Proof once = proof_of({"a", "a"});
  once.rows[1].runs[1].digest = "c";
  expect_findings(once, {"cuda:1: 1 of 2 trainings ended with another digest"}, 19);
  expect_words(proof_text(once, judge(once)),
               {"ok       cuda:0 ",
                "note     cuda:1        NVIDIA H200: wrong, 1 of 2 trainings in 1.00, 2.00 s, "
                "digest c"});
}

TEST(DoctorProof, WrongResultsGiveTheExitStatusBesideOtherFindings) {
  Proof proof = proof_of({"a", "b"});
  proof.rows[0].runs[0] = {.error = "it died of signal 11"};
  expect_findings(proof, {"cuda:1: 2 of 2 trainings ended", "cuda:0: 1 of 2 trainings failed: it died"}, 19);
}

TEST(DoctorProof, CrashesFailedMeasurementsErrorsAndFaultsAreFindings) {
  Proof proof = proof_of({"a", "a", "a", "a", "a"});
  proof.rows[0].runs[1] = {.error = "it died of signal 11"};
  proof.rows[1].speed_error = "CUDA 719";
  proof.rows[2].after.sensors.uncorrected_errors = 2;
  proof.rows[3].before.xids = 1;
  proof.rows[3].after.xids = 2;
  proof.rows[4].after.xids = 2;  // not known before
  expect_findings(
      proof,
      {"cuda:0: 1 of 2 trainings failed: it died of signal 11", "cuda:1: the test of its speed failed",
       "cuda:2: 2 memory errors", "cuda:3: the kernel logged 1"},
      1);
}

TEST(DoctorProof, ADeviceWhoseTrainingsAllFailedIsNotProven) {
  Proof proof = proof_of({"a"});
  for (ProofRun& run : proof.rows[0].runs) run = {.error = "no"};
  EXPECT_EQ(verdict_of(proof.rows[0], proof), Verdict::failed);
  expect_findings(proof, {"cuda:0: 2 of 2 trainings failed"}, 1);
  expect_words(proof_text(proof, {}), {"NVIDIA H200: failed, 0 of 2 trainings, digest none\n"});
  proof.rows[0].runs.clear();
  EXPECT_EQ(verdict_of(proof.rows[0], proof), Verdict::failed);
}

TEST(DoctorProof, ADeviceThatIsSlowerThanItsEqualsIsNamedWithTheReason) {
  Proof proof = proof_of({"a", "a", "a"});
  for (DeviceRow& row : proof.rows)
    row.speed = {{"flops_per_second", 650e12}, {"memory_bytes_per_second", 4e12}};
  proof.rows[1].speed["flops_per_second"] = 500e12;
  proof.rows[1].speed["reasons"] = {"power cap 300 W (made for 700 W)"};
  proof.rows[2].name = "Tesla T4";
  proof.rows[2].speed["flops_per_second"] = 50e12;
  expect_findings(proof,
                  {"cuda:1: 30 % slower than the fastest NVIDIA H200 (power cap 300 W (made for 700 W))"}, 1);
  proof.rows[1].speed["flops_per_second"] = 620e12;
  expect_findings(proof, {}, 0);
  proof.rows[0].speed["memory_bytes_per_second"] = 2e12;
  expect_findings(proof, {"cuda:0: 100 % slower"}, 1);
}

TEST(DoctorProof, WhatIsKnownOfADeviceIsInItsLine) {
  Proof proof = proof_of({"a"});
  DeviceRow& row = proof.rows[0];
  row.speed_text = "654 TFLOP/s of 990 in bf16";
  row.before.sensors.temperature_celsius = 41;
  row.after.sensors.temperature_celsius = 52;
  row.before.sensors.uncorrected_errors = row.after.sensors.uncorrected_errors = 0;
  row.after.xids = 0;
  expect_words(proof_text(proof, {}), {"digest a, 41 to 52 C, 0 uncorrected memory errors, 0 faults (Xid) "
                                       "logged; 654 TFLOP/s of 990 in bf16\n"});
  row.runs.assign(6, {"", 1, "a"});
  row.runs[3].seconds = 3;
  expect_words(proof_text(proof, {}), {"6 of 6 trainings in 1.00 s (1.00 to 3.00), digest a"});
}

TEST(DoctorProof, MetricsAreALineForEachKnownValueOfADevice) {
  Proof proof = proof_of({"a", "b"});
  proof.rows[0].name = "a \"b\\";
  proof.rows[0].uuid = "GPU-1";
  proof.rows[1].runs = {{.error = "no"}};
  const std::string text = proof_metrics(proof, 1234567890);
  expect_words(
      text, {"# TYPE trainer_proof_passed gauge\n"
             "trainer_proof_passed{device=\"cuda:0\",name=\"a \\\"b\\\\\",pci=\"\",uuid=\"GPU-1\"} 1\n"
             "trainer_proof_passed{device=\"cuda:1\",name=\"NVIDIA H200\",pci=\"\",uuid=\"\"} 0\n",
             "\ntrainer_proof_seconds{device=\"cuda:0\",name=\"a \\\"b\\\\\",pci=\"\",uuid=\"GPU-1\"} 1.5\n",
             "\ntrainer_proof_seconds{device=\"cuda:1\",name=\"NVIDIA H200\",pci=\"\",uuid=\"\"} NaN\n",
             "} 1234567890\n"});
}

TEST(DoctorProof, XidsAreCountedByDevice) {
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

}  // namespace
}  // namespace trainer::doctor
