// Records side by side, and what keeps two of them apart; and the command as a user meets it.
#include "tests/measure/bench_records.hpp"
#include "tests/support/program.hpp"
#include "trainer/measure/bench.hpp"
#include "trainer/system/errors.hpp"

namespace trainer::test {
namespace {

TEST(BenchCompare, NamesTheDifferenceOfUnlikeRecords) {
  const auto refused = [](const auto& change, const std::string& difference) {
    std::vector<NamedRecord> records{{"a.json", bench_record(2)}, {"b.json", bench_record(1)}};
    change(records[1].record);
    SCOPED_TRACE(difference);
    try {
      require_comparable(records);
      ADD_FAILURE() << "accepted";
    } catch (const UsageError& error) {
      EXPECT_PRED2(contains, error.what(), "a.json and b.json cannot be compared");
      EXPECT_PRED2(contains, error.what(), difference);
    }
  };
  refused([](BenchRecord& r) { r.settings.version = 2; }, "bench version 1 and 2");
  refused([](BenchRecord& r) { r.settings = bench_settings(true); }, "--quick false and true");
  refused([](BenchRecord& r) { r.settings.repeats = 3; }, "repeats 5 and 3");
  refused([](BenchRecord& r) { r.settings.warmup_seconds = 2; }, "warm-up seconds 1 and 2");
  refused([](BenchRecord& r) { r.settings.data = "crc32:5-6-7-8"; },
          "data set crc32:1-2-3-4 and crc32:5-6-7-8");
  refused([](BenchRecord& r) { r.settings.subjects[1].batch = 512; }, "quick: batch 256 and 512");
  refused([](BenchRecord& r) { r.settings.subjects[2].steps = 60; },
          "pytorch-example, batch 64: steps 120 and 60");
  refused([](BenchRecord& r) { r.settings.subjects[3].model = "lenet"; }, "tf-sample and lenet");
  refused([](BenchRecord& r) { r.settings.subjects.pop_back(); }, "number of trainings 4 and 3");
  refused([](BenchRecord& r) { r.results[0].training_flops += 1; }, "quick: FLOP of an image");
  refused([](BenchRecord& r) { r = bench_record(1, {"tf32"}); }, "precisions fp32 and tf32");
}

TEST(BenchCompare, RefusesRecordsOfAVersionThatItDoesNotKnow) {
  std::vector<NamedRecord> records{{"a.json", bench_record(2)}, {"b.json", bench_record(1)}};
  for (NamedRecord& named : records) named.record.settings.version = 7;
  EXPECT_THROW(require_comparable(records), UsageError);
}

TEST(BenchCompare, PutsSpeedsBesideEachOther) {
  std::vector<NamedRecord> records{{"a.json", bench_record(2)},
                                   {"b.json", bench_record(0.5, {"fp32", "tf32"})}};
  records[1].record.settings.engine = "libraries";
  require_comparable(records);
  const std::string table = comparison_table(records);
  EXPECT_PRED2(contains, table, "A  CPU: of a test (a.json, 2026-01-01)");
  EXPECT_PRED2(contains, table, "(b.json, 2026-01-01, engine libraries)");
  EXPECT_PRED2(contains, table, "quick               64  fp32        2.000 s     0.5000 s  4x\n");
  EXPECT_PRED2(contains, table, "tf-sample          128  tf32              -         0.5000 s\n");
  const nlohmann::ordered_json json = comparison_json(records);
  EXPECT_EQ(json["records"][1]["engine"], "libraries");
  EXPECT_EQ(json["rows"].size(), 8U);
  EXPECT_DOUBLE_EQ(json["rows"][0]["speed"][1], 4);
  EXPECT_EQ(json["rows"][7]["epoch_seconds"][0], nullptr);
  EXPECT_EQ(json["rows"][7]["speed"][1], nullptr);
}

class BenchProgram : public ProgramTest {
 protected:
  BenchProgram() {
    write_bench_record(folder_ / "a.json", to_json(bench_record(2)));
    write_bench_record(folder_ / "b.json", to_json(bench_record(1)));
  }
};

TEST_F(BenchProgram, ComparesRecordsAndRunsNothing) {
  const Outcome outcome = trainer({"bench", "--compare", "a.json", "b.json", "a.json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_PRED2(contains, outcome.out, "2x");
  EXPECT_PRED2(contains, outcome.out, "C: epoch, speed");
  const Outcome json = trainer({"bench", "--json", "--compare", "a.json", "b.json"});
  EXPECT_EQ(json_lines(json.out).at(0)["rows"][0]["speed"][1], 2);
}

TEST_F(BenchProgram, AnswersMistakesInOneLine) {
  BenchRecord quick = bench_record(1);
  quick.settings.quick = true;
  write_bench_record(folder_ / "quick.json", to_json(quick));
  folder_.write("torn.json", read_text(folder_ / "a.json").substr(0, 500));
  expect_one_line(trainer({"bench", "--compare", "a.json", "quick.json"}), 2);
  expect_one_line(trainer({"bench", "--compare", "a.json"}), 2);
  expect_one_line(trainer({"bench", "--quick", "--compare", "a.json", "b.json"}), 2);
  expect_one_line(trainer({"bench", "--device", "tpu"}), 2);
  expect_one_line(trainer({"bench", "--threads", "0"}), 2);
  for (const char* file : {"torn.json", "missing.json", "runs"}) {
    const Outcome outcome = trainer({"bench", "--compare", "a.json", file});
    expect_one_line(outcome, 1);
    EXPECT_PRED2(contains, outcome.err, file);
  }
  const Outcome unwritable = trainer({"bench", "--out", "missing/a.json"});
  expect_one_line(unwritable, 1);
  EXPECT_PRED2(contains, unwritable.err, "missing/a.json");
  EXPECT_EQ(unwritable.out, "") << "nothing was run";
}

}  // namespace
}  // namespace trainer::test
