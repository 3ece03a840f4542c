// What Open MPI, PMIx, MPICH, UCX, NCCL and Slurm print: cluster_messages.json holds messages with the page or the program each is
// from and the row that explains it. null: nothing explains it, as for numbers alone and for what a healthy run prints.
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/gpu_host/known_failures.hpp"

namespace trainer {
namespace {

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
