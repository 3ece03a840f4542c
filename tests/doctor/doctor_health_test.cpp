// How trainer doctor --prolog judges: its file, the status, and what it writes.
#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "tests/support/temporary_folder.hpp"
#include "tests/support/words.hpp"
#include "trainer/doctor/apart.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/errors.hpp"

namespace trainer::doctor {
namespace {

Check problem(const char* name, const char* finding = "a finding") {
  return {CheckState::problem, name, finding, "a cause", "a fix", FailureClass::machine};
}

NodeReport node(std::vector<Check> checks) {
  return {
      .health = {.of = {{"GPU", Severity::critical}, {"data", Severity::warn}, {"results", Severity::ok}}},
      .checks = std::move(checks),
      .failure = "",
      .seconds = 0.25};
}

void expect_status(const NodeReport& report, int status) {
  EXPECT_EQ(static_cast<int>(status_of(report)), status);
  const std::string line = node_json(report);
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
  EXPECT_EQ(nlohmann::json::parse(line)["status"], status);
}

TEST(DoctorHealth, TheFileSaysWhatAProblemMeans) {
  expect_status(node({}), 0);
  expect_status(node({{CheckState::note, "GPU", "none"}, {CheckState::not_run, "speed", "why"}}), 0);
  expect_status(node({problem("results")}), 0);
  expect_status(node({problem("data")}), 1);
  expect_status(node({problem("memory")}), 1);  // which the file does not name
  expect_status(node({problem("data"), problem("GPU"), problem("results")}), 2);
}

TEST(DoctorHealth, AFailureOfItsOwnIsUnknownAndHidesNothingCritical) {
  NodeReport report = node({problem("data")});
  report.failure = "the disk is full";
  expect_status(report, 3);
  report.checks.push_back(problem("GPU", "gone"));
  expect_status(report, 2);
  EXPECT_EQ(nlohmann::json::parse(node_json(report))["summary"],
            "critical: GPU: gone; unknown: the disk is full; warn: data: a finding");
}

TEST(DoctorHealth, AFileThatIsWrongIsRefusedWithItsPlaceAndTheChoices) {
  const std::vector<std::pair<const char*, std::vector<std::string>>> files{
      {"[gpus]", {":1:1: ", "'check: value'"}},
      {"GPUs: warn", {":1:1: ", "did you mean gpus?", "GPU count", "results"}},
      {"gpus: many", {":1:7: ", "from 0 to 9999"}},
      {"gpus: -1", {"from 0 to 9999"}},
      {"gpus: 99999999999999999999", {"from 0 to 9999"}},
      {"gpus:", {"one value"}},
      {"gpus: 1\ngpus: 2", {":2:1: ", "twice"}},
      {"[GPU]: warn", {":1:1: ", "one value"}},
      {"GPU: warn\ndata: fatal", {":2:7: ", "unknown severity 'fatal'; one of ignore, warn, critical"}},
      {"GPU: {warn: 1}", {":1:6: ", "one value"}},
      {"GPU: [a", {"not YAML: "}},
  };
  const test::TemporaryFolder folder;
  for (const auto& [yaml, words] : files) {
    SCOPED_TRACE(yaml);
    try {
      (void)read_health(folder.write("node.yaml", yaml));
      ADD_FAILURE() << "it was read";
    } catch (const UsageError& error) {
      expect_words(error.what(), words);
      expect_words(error.what(), {"node.yaml:"});
    }
  }
  EXPECT_THROW((void)read_health((folder / "none.yaml").string()), UsageError);
}

TEST(DoctorHealth, ACheckThatHangsHidesNoOther) {
  const NodeReport late = without_answer(node({{CheckState::ok, "CPU", "fine"},
                                               problem("GPU"),
                                               {CheckState::ok, "data", ""},
                                               problem("results")}),
                                         "data");
  std::string names;
  for (const Check& check : late.checks) names += check.name + ": " + check.finding + "\n";
  EXPECT_EQ(names, "CPU: fine\nGPU: a finding\ndata: gives no answer within 4 s, or ends the process\n");
  expect_status(late, 2);
}

TEST(DoctorHealth, FewerGpusThanThereShouldBeAreAProblem) {
  Facts facts;
  facts.cpu.model = "a processor";
  const auto state = [&](int installed, int least) {
    facts.gpu.installed = installed, facts.least_gpus = least;
    for (const Check& check : check_all(facts))
      if (check.name == "GPU count") return std::string(word(check.state)) + " " + check.finding;
    return std::string("none");
  };
  EXPECT_EQ(state(0, 0), "none");
  EXPECT_EQ(state(7, 8), "problem 7 of 8");
  EXPECT_EQ(state(8, 8), "ok 8");
}

TEST(DoctorHealth, MetricsHaveTheStatusOfEachCheckThatWasRun) {
  const std::string text = node_metrics(
      node({problem("GPU"), problem("data"), {CheckState::not_run, "speed", "why"}}), 1234567890);
  expect_words(
      text, {"# TYPE trainer_health_status gauge\ntrainer_health_status 2\n",
             "\ntrainer_health_check_status{check=\"GPU\"} 2\n",
             "\ntrainer_health_check_status{check=\"data\"} 1\n", "\ntrainer_health_duration_seconds 0.250\n",
             "\ntrainer_health_time_seconds 1234567890\n"});
  EXPECT_EQ(text.find("speed"), std::string::npos);
}

TEST(DoctorHealth, TheXmlCountsItsCasesAndEscapesWhatItIsGiven) {
  const std::string text = node_junit(node(
      {problem("GPU", "<\"&'\x01\xff>"), problem("data"), {CheckState::not_run, "speed", "why \"not\""}}));
  expect_words(text,
               {"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite ",
                "tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"0.250\"",
                "name=\"GPU\"><failure>critical: &lt;&quot;&amp;&#39;\xef\xbf\xbd\xef\xbf\xbd&gt;; a cause; "
                "a fix</failure>",
                "name=\"data\"><system-out>warn: a finding; a cause; a fix</system-out></testcase>",
                "name=\"speed\"><skipped>ok: why &quot;not&quot;</skipped></testcase>\n</testsuite>\n"});
}

TEST(DoctorApart, WhatIsToldComesBackInOrderHoweverLongItIs) {
  const std::string large(200'000, 'x');
  const Told told = work_apart([&](const Tell& tell) { tell("first\n"), tell(large); });
  EXPECT_EQ(told.values, (std::vector<nlohmann::ordered_json>{"first\n", large}));
  EXPECT_TRUE(told.ended);
  EXPECT_FALSE(told.crashed);
}

TEST(DoctorApart, AHangIsLateADeathHasItsSignalAndAnExceptionItsText) {
  const Told late = work_apart([](const Tell& tell) { tell(1), pause(); }, 0.2);
  EXPECT_FALSE(late.ended || late.crashed);
  EXPECT_EQ(late.values.size(), 1U) << "what it told before";
  const Told dead = work_apart([](const Tell&) { raise(SIGKILL); }, 60);
  EXPECT_TRUE(dead.crashed && !dead.ended);
  const Told failed = work_apart([](const Tell&) { throw FileError("no such thing"); }, 60);
  EXPECT_EQ(failed.error, "no such thing");
}

// A process that hangs in a driver outlives its signal; a caller that reads our output to its end would wait for it.
TEST(DoctorApart, TheChildHoldsNoneOfOurStreams) {
  const Told told = work_apart([](const Tell& tell) {
    for (const char* stream : {"0", "1", "2"})
      tell(std::filesystem::read_symlink(std::filesystem::path("/proc/self/fd") / stream).string());
  });
  EXPECT_EQ(told.values, (std::vector<nlohmann::ordered_json>(3, "/dev/null")));
}

}  // namespace
}  // namespace trainer::doctor
