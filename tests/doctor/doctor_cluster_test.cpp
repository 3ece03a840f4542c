// What doctor says of MPI and NCCL, and which row explains what Open MPI, PMIx, MPICH, UCX, NCCL and Slurm print:
// cluster_messages.json holds messages, each with the page or the program that it is from. null: nothing explains it, as for
// numbers alone and for what a healthy run prints.
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/gpu_host/known_failures.hpp"
#include "tests/support/words.hpp"
#include "trainer/doctor/checks.hpp"

namespace trainer {
namespace {

using doctor::check_all;
using doctor::Facts;
using doctor::report_text;

// That the machine is healthy is checked too.
std::string report(const Facts& facts) {
  const std::vector<Check> checks = check_all(facts);
  EXPECT_EQ(class_of(checks), FailureClass::healthy) << report_text(facts, checks);
  return report_text(facts, checks);
}

Facts machine(bool with_gpu) {
  Facts facts;
  facts.gpu.engine = with_gpu;
  if (with_gpu) facts.gpu.info = GpuInfo{};
  if (!with_gpu) facts.gpu.failure = Failure{"", FailureClass::no_device, "none", ""};
  facts.gpu.devices = with_gpu ? 1 : 0;
  facts.gpu.nvml = 0;
  facts.files.runs_free_bytes = 1ULL << 30U;
  return facts;
}

TEST(DoctorCluster, AMachineWithoutMpiAndNcclIsHealthy) {
  expect_words(report(machine(true)),
               {"\nnot run  MPI: none found; several devices need one: apt install openmpi-bin\n",
                "\nnot run  NCCL: none found; several GPUs need it: apt install libnccl2\n"});
  expect_words(report(machine(false)), {"\nnot run  MPI: none found", "NCCL: no NVIDIA GPU here\n"});
}

TEST(DoctorCluster, WhatIsFoundIsShown) {
  Facts facts = machine(true);
  facts.cluster = {"Open MPI v4.1.4, /usr/lib/libmpi.so.40.30.4", "2.28.9, /usr/lib/libnccl.so.2.28.9"};
  expect_words(report(facts), {"ok       MPI           Open MPI v4.1.4, /usr/lib/libmpi.so.40.30.4\n",
                               "ok       NCCL          2.28.9, /usr/lib/libnccl.so.2.28.9\n"});
  facts.asks_for_cpu = true;
  const std::string text = report(facts);
  expect_words(text, {"ok       MPI           Open MPI v4.1.4"});
  EXPECT_EQ(text.find("libnccl"), std::string::npos) << "a training on the CPU uses none";
}

TEST(DoctorCluster, TheLibrariesTellTheirVersions) {
  const std::vector<doctor::LibraryPart> parts =
      doctor::load_apart(
          {.names = {TRAINER_MPI_STAND_IN, TRAINER_NCCL_STAND_IN}, .folder = "", .version_checks = {}})
          .parts;
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].error + parts[1].error, "");
  EXPECT_EQ(parts[0].version, "MPICH Version: 4.0.2");
  EXPECT_EQ(parts[1].version, "2.28.9");
  EXPECT_TRUE(parts[0].path.ends_with("libmpi_stand_in.so")) << parts[0].path;
}

struct ClusterMessage {
  std::string key;  // empty: no row
  std::string message;
};

std::vector<ClusterMessage> cluster_messages() {
  std::ifstream in(TRAINER_SOURCE_DIR "/tests/doctor/cluster_messages.json");
  std::vector<ClusterMessage> all;
  for (const nlohmann::json& value : nlohmann::json::parse(in)) {
    EXPECT_FALSE(value.at("source").get<std::string>().empty()) << value;
    const nlohmann::json& key = value.at("key");
    all.push_back({key.is_null() ? "" : key.get<std::string>(), value.at("message")});
  }
  return all;
}

TEST(ClusterMessages, EachFindsItsOwnRowFirst) {
  for (const ClusterMessage& one : cluster_messages()) {
    const Explanation explanation = explain(one.message);
    EXPECT_EQ(explanation.found.empty() ? "" : explanation.found.front().key, one.key) << one.message;
  }
}

TEST(ClusterMessages, EveryRowOfAClusterHasOne) {
  std::set<std::string_view> covered;
  const std::vector<ClusterMessage> all = cluster_messages();
  for (const ClusterMessage& one : all) covered.insert(one.key);
  std::size_t rows = 0;
  for (const KnownFailure& row : known_failures()) {
    if (row.kind < FailureClass::mpi) continue;
    ++rows;
    EXPECT_TRUE(covered.contains(row.key)) << row.key;
    EXPECT_EQ(exit_status(row.kind), 1) << "no status of the doctor: no check of it finds these";
  }
  EXPECT_GE(rows, 100U);
}

}  // namespace
}  // namespace trainer
