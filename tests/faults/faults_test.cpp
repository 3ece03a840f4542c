// Flipped bits: each is masked or found, and what is found is traced to its step.
#include <gtest/gtest.h>
#include <set>

#include "tests/faults/fault_trial.hpp"

namespace trainer::test {
namespace {

class Faults : public testing::TestWithParam<FaultKind> {};

TEST_P(Faults, AreMaskedOrFoundAndTracedToTheirStep) {
  if (!can_try(GetParam())) GTEST_SKIP() << "built without the emulated GPU";
  const bool emulated = GetParam() == FaultKind::gpu_store || GetParam() == FaultKind::gpu_memory;
  const std::uint64_t count = emulated ? 12 : 60;
  const std::vector<FaultResult> results = try_faults(GetParam(), 1000, count);
  ASSERT_EQ(results.size(), count);
  std::set<std::uint64_t> seeds;
  std::uint64_t found = 0;
  std::uint64_t traced = 0;
  std::uint64_t came_back = 0;
  for (const FaultResult& r : results) {
    SCOPED_TRACE("seed " + std::to_string(r.seed) + ", " + r.where + ", " + end_name(r.end));
    seeds.insert(r.seed);
    found += r.found() ? 1 : 0;
    traced += r.traced() ? 1 : 0;
    EXPECT_NE(r.where, "") << "the fault was never put in";
    came_back += r.came_back() ? 1 : 0;
    EXPECT_TRUE(r.first_step < 0 || r.first_step >= r.step) << "a digest differs before there is a fault";
    EXPECT_TRUE(r.first_step >= 0 || !r.run_differs) << "the digest of the run differs, and that of no step";
    EXPECT_TRUE(r.run_differs || !r.weight_differs) << "a weight differs, and not the digest of the run";
  }
  EXPECT_EQ(seeds.size(), count);
  EXPECT_GT(found, 0U);
  EXPECT_LT(found, count);
  // The step's number is in no digest: wrong after the step's last kernel, it shows in the next one.
  EXPECT_GE(traced + 2, found) << "of " << found << " that were found";
  // A weight that is off by its last bit may be rounded to the right one later.
  EXPECT_LE(came_back, 1U);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Faults, testing::ValuesIn(kFaultKinds),
                         [](const auto& info) { return std::string(fault_name(info.param)); });

TEST(FaultNetwork, IsSmall) {
  EXPECT_LE(fault_network_parameters(), 5000U);
}

TEST(Faults, AreAFunctionOfTheirSeed) {
  const FaultResult one = try_faults(FaultKind::arithmetic, 1007, 1).at(0);
  for (const FaultResult& r : try_faults(FaultKind::arithmetic, 1005, 5)) {
    if (r.seed != one.seed) continue;
    EXPECT_EQ(r.event, one.event);
    EXPECT_EQ(r.where, one.where);
    EXPECT_EQ(r.first_step, one.first_step);
  }
}

}  // namespace
}  // namespace trainer::test
