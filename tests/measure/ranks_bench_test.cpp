// What bench measures on several ranks: threads of this process, and the real program under mpirun.
#include "trainer/measure/ranks_bench.hpp"

#include "tests/support/program.hpp"
#include "tests/support/thread_ranks.hpp"

namespace trainer::test {
namespace {

TEST(RanksBench, BandwidthsAndEfficiencyAreThoseOfNcclTests) {
  ExchangeResult exchange;
  exchange.bytes = 8'000'000;
  exchange.seconds = {0.004, 0.002, 0.008};
  EXPECT_DOUBLE_EQ(algorithm_bandwidth(exchange), 2e9);
  EXPECT_DOUBLE_EQ(bus_bandwidth(exchange, 2), 2e9);
  EXPECT_DOUBLE_EQ(bus_bandwidth(exchange, 4), 3e9);
  ScalingResult scaling;
  scaling.alone.repeats = {{10, 1000, 1}};
  scaling.all.repeats = {{10, 3000, 1}};
  EXPECT_DOUBLE_EQ(efficiency(scaling, 4), 0.75);
}

TEST(RanksBench, SettingsCoverSizesAndNetworks) {
  const std::vector<Spec> shipped = all_specs(TRAINER_SOURCE_DIR "/models");
  const RanksBenchSettings whole = ranks_bench_settings(false, shipped);
  EXPECT_EQ(whole.sizes.front(), 4096U);
  EXPECT_EQ(whole.sizes.back(), std::size_t{64} << 20);
  EXPECT_EQ(whole.sizes.size(), 8U);
  EXPECT_EQ(whole.gradients.size(), shipped.size());
  ASSERT_EQ(whole.trainings.size(), 2U);
  EXPECT_EQ(whole.trainings[0].name, "quick");
  EXPECT_LT(ranks_bench_settings(true, shipped).sizes.size(), whole.sizes.size());
}

// What each of `size` ranks measures of a small network.
std::vector<RanksBench> measure(int size) {
  const TemporaryFolder folder;
  const std::string data = write_small_data(folder);
  RanksBenchSettings settings;
  settings.sizes = {4096, 10'000};
  settings.gradients = settings.trainings = {parse_spec(small_network({}), "small.yaml")};
  settings.repeats = 2;
  std::vector<RanksBench> all(static_cast<std::size_t>(size));
  run_ranks(size, [&](Communicator& ranks) {
    data::Dataset dataset = data::load_dataset(data);
    all[static_cast<std::size_t>(ranks.rank())] =
        bench_ranks({ranks, settings, dataset, [] { return make_cpu_backend({1}); }});
    EXPECT_GT(dataset.train.labels.size(), 0U) << "the data set was not given back";
  });
  return all;
}

TEST(RanksBench, CountsBytesAndTakesTheSlowestRanksTime) {
  const std::vector<RanksBench> all = measure(2);
  const RanksBench& first = all[0];
  EXPECT_EQ(first.ranks, 2);
  EXPECT_EQ(first.machines, 1);
  ASSERT_EQ(first.exchanges.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_GT(first.exchanges[i].seconds.least, 0);
    EXPECT_EQ(first.exchanges[i].seconds.median, all[1].exchanges[i].seconds.median);
  }
  // Each of two ranks sends a half to its owner, and the sum of the other half, with a header.
  EXPECT_GE(first.exchanges[0].sent, 4096U);
  EXPECT_LT(first.exchanges[0].sent, 4200U);
  const ExchangeResult &full = first.exchanges[2], &half = first.exchanges[3], &one = first.exchanges[4];
  EXPECT_EQ(full.bits, 32);
  EXPECT_LT(half.sent, 0.6 * static_cast<double>(full.sent));
  EXPECT_LT(one.sent, half.sent);
  ASSERT_EQ(first.scaling.size(), 3U);
  for (const ScalingResult& row : first.scaling) {
    EXPECT_EQ(row.alone.repeats.size(), 2U);
    EXPECT_EQ(row.alone.subject.batch, row.all.subject.batch);
    EXPECT_EQ(row.all.repeats[0].images % row.all.repeats[0].steps, 0U);
  }
}

TEST(RanksBench, SaysTheSameInTableAndRecord) {
  const RanksBench bench = measure(3)[0];
  const std::string table = ranks_bench_table(bench);
  const Json json = to_json(bench);
  EXPECT_EQ(json["exchanges"].size(), bench.exchanges.size());
  EXPECT_EQ(json["scaling"].size(), bench.scaling.size());
  for (const Json& row : json["exchanges"]) EXPECT_PRED2(contains, table, row["sent"].dump());
  EXPECT_PRED2(contains, table, "3 ranks");
}

class RanksBenchProgram : public ProgramTest {};

TEST_F(RanksBenchProgram, TheFirstRankPrintsAndWrites) {
  const bool is_built = fs::exists(fs::path(TRAINER_BINARY).parent_path() / "libmnist-trainer-openmpi.so");
  if (!is_built || shell("command -v mpirun.openmpi").code != 0) GTEST_SKIP() << "no Open MPI is installed";
  const Words launcher{
      "L=mpirun.openmpi --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n 2"};
  const Outcome outcome =
      shell("$L $T bench --quick --json --out record.json --device cpu --threads 1", launcher);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json printed = Json::parse(outcome.out);
  EXPECT_EQ(printed["kind"], "bench ranks");
  EXPECT_EQ(printed["ranks"], 2);
  EXPECT_EQ(printed["scaling"].size(), 6U);
  EXPECT_EQ(printed, Json::parse(read_text(folder_ / "record.json")));
  const Outcome refused = shell("$L $T bench --quick --out no/folder.json", launcher);
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.err.find("error: "), refused.err.rfind("error: ")) << refused.err;
}

}  // namespace
}  // namespace trainer::test
