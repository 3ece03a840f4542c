// Tables that fit, the list of a runs folder in which anything may lie, and what differs between runs.
#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/runs/known_runs.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/runs/run_comparison.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/errors.hpp"

namespace trainer::test {
namespace {

using Json = nlohmann::ordered_json;

std::size_t longest_line(const std::string& text) {
  std::size_t longest = 0;
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1)
    longest = std::max(longest, text.find('\n', begin) - begin);
  return longest;
}

TEST(TextTable, AlignsAndLeavesNoSpacesAtTheEnd) {
  TextTable table({{"name"}, {">size"}, {"about"}});
  table.add({"a", "1000000", "x"});
  table.add({"\xC3\xA9t\xC3\xA9", "2", ""});
  EXPECT_EQ(table.text(),
            "name    size about\n"
            "a    1000000 x\n"
            "\xC3\xA9t\xC3\xA9        2\n");
  EXPECT_EQ(table.width(2), 4U + 2 + 7 + 2 + 5);
}

TEST(TextTable, CutsWhatMayShrinkTheWidestFirst) {
  TextTable table({{"a", 5}, {"b", 8}, {"c"}});
  table.add({std::string(20, 'x'), std::string(60, 'y'), std::string(30, 'z')});
  EXPECT_EQ(table.text(), fmt::format("{:<20} {:<28} c\n{} {}.. {}\n", "a", "b", std::string(20, 'x'),
                                      std::string(26, 'y'), std::string(30, 'z')));
  table.add({"", "", std::string(90, 'z')});
  EXPECT_NE(table.text().find("\nxxx.. yyyyyy.. zz"), std::string::npos) << "no further than they may";
}

TEST(TextTable, ShowsNoControlCharacters) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
  EXPECT_EQ(count_text(38218.4), "38,218");
  EXPECT_EQ(count_text(1e300), "-");
}

TEST(JsonLookup, WhatIsNotThereOrOfAnotherKindIsAbsent) {
  const Json json = Json::parse(R"({"a": {"b": 1.5, "c": "x", "d": [1, 2], "n": null, "m": -3}, "e": 7})");
  EXPECT_EQ(find_number(json, {"a", "b"}), 1.5);
  EXPECT_EQ(find_text(json, {"a", "c"}), "x");
  EXPECT_EQ(find_count(json, {"e"}), 7U);
  EXPECT_FALSE(find_number(json, {"a", "c"}));
  EXPECT_FALSE(find_number(json, {"a", "n"}));
  EXPECT_FALSE(find_number(json, {"a"}));
  EXPECT_FALSE(find_number(json, {"x"}));
  EXPECT_FALSE(find_number(json, {"e", "f"}));
  EXPECT_FALSE(find_number(json, {"a", "d", "0"}));
  EXPECT_FALSE(find_count(json, {"a", "m"}));
  EXPECT_FALSE(find_text(nullptr, {"a"}));
}

TEST(JsonLookup, ValuesForAReader) {
  EXPECT_EQ(value_text(Json::parse(R"({"adam": {"beta1": 0.7, "on": true}})")), "adam (beta1 0.7, on yes)");
  EXPECT_EQ(value_text(Json::parse(R"(["bf16", "tf32"])")), "bf16, tf32");
  EXPECT_EQ(value_text(Json::parse(R"({"memory_bytes": 25276502016, "x": null, "l": []})")),
            "memory 23.54 GiB, x none, l none");
  EXPECT_EQ(value_text(Json::parse(std::string(60, '[') + std::string(60, ']'))), "...");
}

class RunListTest : public testing::Test {
 protected:
  RunList list() const { return list_runs(folder_ / "runs"); }
  std::string note() const { return unreadable_note(list(), "runs"); }

  TemporaryFolder folder_;
};

TEST_F(RunListTest, HasTheRunStartedLastFirst) {
  KnownRun early = known_run("b", {1});
  early.record.started = "2025-12-31T00:00:00+01:00";
  for (const KnownRun& run : {early, known_run("a", {1}), known_run("c", {1})}) write_run(folder_, run);
  const RunList found = list();
  ASSERT_EQ(found.runs.size(), 3U);
  EXPECT_EQ(found.runs[0].id + found.runs[1].id + found.runs[2].id, "cab");
  EXPECT_EQ(unreadable_note(found, "runs"), "");
}

TEST_F(RunListTest, NamesWhatItCannotReadAndListsTheRest) {
  write_run(folder_, known_run("good", {1}));
  folder_.write("runs/foreign/notes.txt", "x");
  folder_.write("runs/torn/run.json", "{\"format_version\": 1, \"sta");
  folder_.write("runs/newer/run.json", "{\"format_version\": 2}");
  folder_.write("runs/deep/run.json",
                "{\"a\":" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}");
  write_run(folder_, known_run("metrics", {1}));
  folder_.write("runs/metrics/metrics.jsonl", "{\"epoch\": \"one\"}\n");
  folder_.write("runs/.hidden/x", "x");
  folder_.write("runs/file", "x");
  EXPECT_EQ(list().runs.size(), 1U);
  EXPECT_EQ(list().unreadable.size(), 5U);
  for (const char* part :
       {"note: 5 folders in runs are not listed: deep (", "values lie deeper than 64",
        "foreign (no run.json)",
        "metrics (cannot read metrics.jsonl:1: field 'epoch' is not a whole number from 0 to ",
        "newer (cannot read the run record run.json: its format is 2, this program knows up to 1: use a "
        "newer program)",
        "torn (cannot read the run record run.json: it is not a JSON object)"})
    EXPECT_NE(note().find(part), std::string::npos) << part << "\n" << note();
  EXPECT_EQ(note().find('\n'), std::string::npos);
}

TEST_F(RunListTest, NamesEightOfMany) {
  for (int i = 0; i < 12; ++i) folder_.write(fmt::format("runs/x{}\n/file", i), "x");
  EXPECT_NE(note().find(" and 4 more"), std::string::npos);
  EXPECT_EQ(note().find('\n'), std::string::npos) << "not even of a name";
}

TEST_F(RunListTest, AFolderThatIsNotThereHasNone) {
  EXPECT_TRUE(list().runs.empty());
  folder_.write("plain", "x");
  EXPECT_THROW((void)list_runs(folder_ / "plain"), std::exception);
}

TEST_F(RunListTest, RunningWithoutItsProcessIsKilled) {
  KnownRun run = known_run("r", {1, 2});
  run.record.status = RunStatus::kRunning;
  run.record.seconds = 0;
  run.record.machine.erase("host");  // or it could be another machine's
  const std::filesystem::path path = write_run(folder_, run);
  const std::string before = read_text(path / "run.json");
  EXPECT_EQ(list().runs.at(0).status(), "killed");
  EXPECT_NEAR(list().runs.at(0).seconds(), 3.3, 1e-12) << "of its epochs";
  {
    const RunFolder writer = RunFolder::reopen(path);
    EXPECT_EQ(list().runs.at(0).status(), "running");
  }
  EXPECT_EQ(list().runs.at(0).status(), "killed");
  EXPECT_EQ(read_text(path / "run.json"), before);
  Json record = Json::parse(before);
  record["target"] = {{"name", "gpu-box"}};
  folder_.write("runs/r/run.json", record.dump());
  EXPECT_EQ(list().runs.at(0).status(), "running") << "its process is on another machine";
}

TEST(RunsTable, FitsEightyColumns) {
  KnownRun run = known_run("20260101-093000-quick-1", {1.5, 1.25, 1.75});
  run.record.device["name"] = "CPU: Intel(R) Xeon(R) Platinum 8488C, 2 threads";
  const std::string table = runs_table({run});
  EXPECT_LE(longest_line(table), 80U);
  EXPECT_NE(table.find("20260101-093000-quick-1 quick Xeon Pla.. local "), std::string::npos) << table;
  EXPECT_NE(table.find(" 96.00 %      3   1.500 finished\n"), std::string::npos) << table;
  EXPECT_EQ(short_device("NVIDIA H200, MIG 1g.18gb"), "H200, MIG 1g.18gb");
  const std::string empty = runs_table({known_run("r", {})});
  EXPECT_NE(empty.find(" -      0       - finished\n"), std::string::npos) << empty;
}

TEST(RunsTable, TellsViewsApart) {
  KnownRun plain = known_run("plain", {}), views = plain;
  plain.sprint = SprintFound{.mean = 0.9903};
  views.sprint = SprintFound{.mean = 0.9905, .views = 5};
  const std::string table = runs_table({plain, views});
  EXPECT_NE(table.find(" 99.03 %  "), std::string::npos) << table;
  EXPECT_NE(table.find(" 99.05 % views "), std::string::npos) << table;
  EXPECT_EQ(runs_json({plain, views})[1]["views"], 5);
}

TEST(RunsTable, CsvQuotesAndJsonHasNulls) {
  KnownRun run = known_run("a,\"b\"", {1});
  run.record.seed = 18'446'744'073'709'551'615U;
  const std::string csv = runs_csv({run});
  EXPECT_TRUE(csv.starts_with("id,model,device,target,status,"));
  EXPECT_NE(csv.find("\n\"a,\"\"b\"\"\",quick,\"CPU: of a test, 2 threads\",local,finished,"),
            std::string::npos)
      << csv;
  EXPECT_NE(csv.find(",18446744073709551615,"), std::string::npos);
  const Json json = runs_json({run});
  EXPECT_EQ(json[0]["seed"], 18'446'744'073'709'551'615U);
  EXPECT_EQ(json[0]["epochs"].dump(), "1");
  EXPECT_EQ(json[0]["energy_joules"], nullptr);
  EXPECT_EQ(json[0].size(), run_fields().size() + 1) << "and the folder";
}

TEST(SortRuns, OrdersByAnyFieldAbsentOnesLast) {
  const auto order = [](const std::string& key) {
    std::vector<KnownRun> runs{known_run("a", {1, 1}), known_run("b", {}), known_run("c", {2, 1, 1}),
                               known_run("d", {3})};
    sort_runs(runs, key);
    std::string ids;
    for (const KnownRun& run : runs) ids += run.id;
    return ids;
  };
  EXPECT_EQ(order("accuracy"), "dacb");
  EXPECT_EQ(order("-accuracy"), "cadb");
  EXPECT_EQ(order("-id"), "dcba");
  EXPECT_EQ(order("model"), "abcd") << "equal ones stay";
  try {
    (void)order("-acuracy");
    ADD_FAILURE() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_STREQ(std::string(error.what()).substr(0, 66).c_str(),
                 "--sort: unknown field 'acuracy'; did you mean accuracy? one of id,");
  }
}

TEST(RunDifferences, AreOfConfigurationAndMachineAlone) {
  KnownRun a = known_run("a", {1});
  KnownRun b = known_run("b", {2, 3});
  b.record.recipe["batch"] = 512;
  b.record.recipe["schedule"] = {{"one_cycle", {{"warmup", 0.3}}}};
  b.record.machine["host"] = "there";
  b.record.spec_text = "name: other\n";
  b.record.started = "2027";
  a.record.device["report"] = "CPU           of this moment\n";
  a.record.device["cpu"] = {{"available_bytes", 1}};
  b.record.device["cpu"] = {{"available_bytes", 2}};
  std::vector<std::string> names;
  const Json rows = differences({a, b});
  for (const Json& row : rows) names.push_back(row["name"]);
  EXPECT_EQ(names, (std::vector<std::string>{"model file", "recipe.batch", "machine.host",
                                             "recipe.schedule.one_cycle.warmup"}));
  const std::string text = differences_text(rows);
  EXPECT_NE(text.find("recipe.batch                      256      512\n"), std::string::npos) << text;
  EXPECT_NE(text.find("model file                        its own  its own\n"), std::string::npos) << text;
  EXPECT_EQ(rows[3]["values"], Json::parse("[null, 0.3]"));
  EXPECT_EQ(differences_text(differences({a, a})), "configuration and machine do not differ\n");
}

TEST(RunDifferences, AreOfRanksToo) {
  const KnownRun alone = known_run("a", {1});
  KnownRun ranks = alone;
  ranks.record.results["ranks"] = {
      {"count", 4U}, {"machines", 2U}, {"gradient_bits", 1U}, {"exchange_seconds", 0.5}};
  ranks.record.recipe["settings"]["gradient_bits"] = 1;
  const Json rows = differences({alone, ranks});
  ASSERT_EQ(rows.size(), 3U) << rows;
  EXPECT_EQ(rows[0]["name"], "ranks");
  EXPECT_EQ(rows[0]["values"], Json::parse("[1, 4]"));
  EXPECT_EQ(rows[1]["values"], Json::parse("[1, 2]"));
  EXPECT_EQ(rows[2]["name"], "gradient_bits");
  EXPECT_NE(run_text(ranks).find("ranks             4 on 2 machines, gradients of 1 bit, 0.500 s of training "
                                 "for their exchange\n"),
            std::string::npos)
      << run_text(ranks);
  EXPECT_EQ(run_text(alone).find("\nranks "), std::string::npos);
  const ComparisonOptions options;
  const std::vector<KnownRun> both{alone, ranks};
  const Json compared = compare_runs(both, options);
  EXPECT_EQ(compared[0]["exchange_seconds"], nullptr);
  EXPECT_EQ(compared[1]["ranks"], 4);
  EXPECT_NE(comparison_text(both, compared, options).find("exchange"), std::string::npos);
  EXPECT_EQ(comparison_text({alone}, compare_runs({alone}, options), options).find("exchange"),
            std::string::npos);
}

TEST(RunDifferences, StandSideBySideAsDeepAsAPersonReads) {
  const Json rows = side_by_side({{{"a", 1}, {"b", "2"}}, {{"b", "3"}, {"a", 1}, {"c", 4}}});
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[2]["name"], "c");
  EXPECT_EQ(rows[2]["values"], Json::parse("[null, 4]"));
  const Json different = different_rows(rows);
  ASSERT_EQ(different.size(), 2U);
  EXPECT_EQ(different[0]["name"], "b");
  Json deep = 1;
  for (int i = 0; i < 1000; ++i) deep = {{"x", deep}};
  const Json flat = flattened({{"deep", deep}, {"empty", Json::object()}});
  ASSERT_EQ(flat.size(), 2U);
  EXPECT_EQ(flat.begin().key(), "deep.x.x.x.x.x.x");
}

TEST(RunDifferences, LongValuesAreNotCut) {
  KnownRun a = known_run("a", {1});
  KnownRun b = a;
  b.record.machine["kernel"] = std::string(100, 'k');
  const std::string text = differences_text(differences({a, b}));
  EXPECT_NE(text.find("machine.kernel\n  A  none\n  B  " + std::string(100, 'k') + "\n"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace trainer::test
