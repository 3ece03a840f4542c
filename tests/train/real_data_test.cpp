// Whole trainings on real data sets beside the main one: Fashion-MNIST as Debian ships it, and the two
// samples whose recipes report their own figures; and the digest of `sprint-lean`, again and again (benchmarks/clean_proofs.py does it
// a thousand times).
#include <set>
#include <thread>
#include <tuple>

#include "tests/support/backends.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

using RealData = ProgramTest;

TEST_F(RealData, FashionMnistTrainsAsItIs) {
  const std::string fashion = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(fashion)) GTEST_SKIP() << fashion << " is not there; apt-get install dataset-fashion-mnist";
  const Outcome outcome = trainer({"train", "--data", fashion, "--epochs", "1", "--limit-train", "6000",
                                   "--batch", "64", "--threads", "1", "--out", "run"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out,
               "fashion-mnist: 6,000 training and 10,000 test images of 28x28x1, 10 classes");
  EXPECT_GT(record("run").results["test"]["accuracy"], 0.72);
}

TEST_F(RealData, TheSamplesReportTheirOwnFigureBesideTheFullOne) {
  for (const auto& [model, first, limit] :
       {std::tuple{"tf-sample", 256, "128"}, std::tuple{"cntk-sample", 9728, "640"}}) {
    const Outcome outcome = trainer({"train", "--model", model, "--limit-train", limit, "--epochs", "1",
                                     "--threads", "1", "--out", model});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_PRED2(contains, outcome.out, "on 10,000 test images");
    EXPECT_PRED2(contains, outcome.out, first == 256 ? "first 256 test images" : "first 9,728 test images");
    const Json results = record(model).results;
    EXPECT_EQ(results["test"]["images"], 10000);
    EXPECT_EQ(results["test_first_images"]["images"], first);
    EXPECT_NEAR(results["test_first_images"]["accuracy"].get<double>(),
                results["test"]["accuracy"].get<double>(), first == 256 ? 0.15 : 0.01);
  }
}

TEST_F(RealData, PortableBitsHaveOneDigestBesideOtherLoad) {
  if (!kTestsPortable) GTEST_SKIP() << "too slow under a sanitizer";
  const std::jthread load([](const std::stop_token& stop) {
    while (!stop.stop_requested()) continue;
  });
  std::set<std::string> digests;
  for (const char* threads : {"1", "2", "3", "4", "2"}) {
    const Outcome outcome = trainer({"train", "--model", "sprint-lean", "--bits", "portable", "--seed", "1",
                                     "--threads", threads, "--no-save", "--json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const std::string end =
        outcome.out.substr(outcome.out.rfind('{', outcome.out.rfind("\"event\":\"end\"")));
    digests.insert(Json::parse(end).value("digest", ""));
  }
  EXPECT_EQ(digests.size(), 1U);
  EXPECT_EQ(digests.begin()->size(), 64U);
}

}  // namespace
}  // namespace trainer::test
