// The limits of control groups, from played hierarchies of both versions.
#include "kernels/cpu/runtime/control_groups.hpp"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.hpp"

namespace trainer {
namespace {

struct ControlGroups : testing::Test {
  test::TemporaryFolder folder;

  cpu::GroupLimits limits(const char* membership) const {
    return cpu::group_limits(folder.write("membership", membership), folder / "mounts");
  }
  void group(const std::string& name, const char* text) const { folder.write("mounts/" + name, text); }
};

TEST_F(ControlGroups, NoneLimitNothing) {
  for (const char* membership : {"", "\n", "0::/\n", "1:cpu:/nowhere\n", "no colons at all\n"}) {
    EXPECT_EQ(limits(membership).cores, std::nullopt) << membership;
    EXPECT_EQ(limits(membership).memory_bytes, std::nullopt) << membership;
  }
  EXPECT_EQ(cpu::group_limits(folder / "none", folder / "none").cores, std::nullopt);
}

TEST_F(ControlGroups, Version2HasHalves) {
  group("cpu.max", "150000 100000\n");
  group("memory.max", "1000\n");
  group("memory.current", "400\n");
  EXPECT_EQ(limits("0::/\n").cores, 1.5);
  EXPECT_EQ(limits("0::/\n").memory_bytes, 600U);
  group("memory.stat", "anon 250\ninactive_file 100\nactive_file 50\n");
  EXPECT_EQ(limits("0::/\n").memory_bytes, 700U) << "what files fill is given back";
  group("cpu.max", "max 100000\n");
  group("memory.max", "max\n");
  EXPECT_EQ(limits("0::/\n").cores, std::nullopt);
  EXPECT_EQ(limits("0::/\n").memory_bytes, std::nullopt);
}

TEST_F(ControlGroups, TheTightestOfTheGroupsAboveCounts) {
  group("a.slice/cpu.max", "50000 100000\n");
  group("a.slice/b.service/cpu.max", "300000 100000\n");
  group("a.slice/b.service/memory.max", "1000");
  group("a.slice/b.service/memory.current", "2000");
  EXPECT_EQ(limits("0::/a.slice/b.service\n").cores, 0.5);
  EXPECT_EQ(limits("0::/a.slice/b.service\n").memory_bytes, 1U) << "more than it may";
  EXPECT_EQ(limits("0::/other/c.service\n").cores, std::nullopt);
}

TEST_F(ControlGroups, Version1HasAFolderForEachController) {
  group("cpu,cpuacct/docker/1/cpu.cfs_quota_us", "250000\n");
  group("cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n");
  group("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  group("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  group("memory/memory.limit_in_bytes", "9223372036854771712\n");
  group("memory/memory.usage_in_bytes", "5\n");
  const char* membership = "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n0::/\n";
  EXPECT_EQ(limits(membership).cores, 2.5);
  EXPECT_EQ(limits(membership).memory_bytes, std::nullopt);
  group("memory/docker/1/memory.limit_in_bytes", "100\n");
  group("memory/docker/1/memory.usage_in_bytes", "40\n");
  EXPECT_EQ(limits(membership).memory_bytes, 60U);
}

TEST_F(ControlGroups, AContainerWithoutItsNameSeesItsOwnFolderOnTop) {
  group("cpu/cpu.cfs_quota_us", "150000\n");
  group("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(limits("4:cpu:/docker/0123456789ab\n").cores, 1.5);
}

}  // namespace
}  // namespace trainer
