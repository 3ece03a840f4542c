// What bench measures on several ranks: threads of this process, and the real program under mpirun.
#include "tests/support/program.hpp"
#include "tests/support/thread_ranks.hpp"
#include "trainer/measure/bench.hpp"

namespace trainer::test {
namespace {

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
std::vector<Json> measure(int size) {
  const TemporaryFolder folder;
  const std::string data = write_small_data(folder);
  RanksBenchSettings settings;
  settings.sizes = {4096, 10'000};
  settings.gradients = settings.trainings = {parse_spec(small_network({}), "small.yaml")};
  settings.repeats = 2;
  std::vector<Json> all(static_cast<std::size_t>(size));
  run_ranks(size, [&](Communicator& ranks) {
    data::Dataset dataset = data::load_dataset(data);
    all[static_cast<std::size_t>(ranks.rank())] =
        bench_ranks({ranks, settings, dataset, [] { return make_cpu_backend({1}); }});
    EXPECT_GT(dataset.train.labels.size(), 0U) << "the data set was not given back";
  });
  return all;
}

TEST(RanksBench, CountsBytesAndTakesTheSlowestRanksTime) {
  const std::vector<Json> all = measure(2);
  const Json& first = all[0];
  EXPECT_EQ(first["ranks"], 2);
  EXPECT_EQ(first["machines"], 1);
  const Json& exchanges = first["exchanges"];
  EXPECT_EQ(exchanges.size(), 5U);
  EXPECT_EQ(exchanges, all[1]["exchanges"]);
  // Each of two ranks sends a half to its owner, and the sum of the other half, with a header.
  const auto sent = [&](std::size_t i) { return exchanges[i]["sent"].get<double>(); };
  EXPECT_GE(sent(0), 4096);
  EXPECT_LT(sent(0), 4200);
  EXPECT_EQ(exchanges[4]["bits"], 1);
  EXPECT_LT(sent(3), 0.6 * sent(2));
  EXPECT_LT(sent(4), sent(3));
  EXPECT_EQ(first["scaling"].size(), 3U);
  for (const Json& row : first["scaling"]) {
    EXPECT_DOUBLE_EQ(row["efficiency"], row["images_per_second"].get<double>() /
                                            (2 * row["images_per_second_alone"].get<double>()));
  }
  EXPECT_EQ(all[1]["scaling"][0]["efficiency"], nullptr) << "rank 0 alone can know it";
}

TEST(RanksBench, BandwidthsAreThoseOfNcclTests) {
  const Json bench = measure(4)[0];
  const std::string table = ranks_bench_table(bench);
  for (const Json& row : bench["exchanges"]) {
    const double bandwidth = row["bytes"].get<double>() / row["seconds"]["median"].get<double>();
    EXPECT_DOUBLE_EQ(row["bytes_per_second"], bandwidth);
    EXPECT_DOUBLE_EQ(row["bus_bytes_per_second"], 1.5 * bandwidth);
    EXPECT_PRED2(contains, table, row["sent"].dump());
  }
  EXPECT_PRED2(contains, table, "4 ranks");
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
