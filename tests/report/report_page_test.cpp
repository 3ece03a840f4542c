// trainer runs report on real, small trainings: every part is there, nothing is fetched from elsewhere, and
// what is missing or strange is said on the page instead of ending the program.
#include <functional>

#include "tests/runs/made_up_runs.hpp"
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class Report : public ProgramTest {
 protected:
  Report() { train("run", {"--seed", "1"}); }

  void train(const std::string& name, const Words& more) {
    Words words = small_training({"--out", name});
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = trainer(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
  }

  Outcome report(const Words& more, const Words& environment = {}) const {
    Words words{"runs", "report", "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return trainer(words, environment);
  }

  // The page of a report that is made without an error.
  std::string page(const Words& more, const std::string& file = "run/report.html") const {
    const Outcome outcome = report(more);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, at(file) + "\n");
    const std::string html = read_text(at(file));
    EXPECT_EQ(nesting_fault(html), "");
    expect_self_contained(html);
    return html;
  }

  static void expect_self_contained(const std::string& html) {
    for (const char* part :
         {"<script", "http://", "https://", "<link", "@import", "url(", " onload", "href="})
      EXPECT_EQ(html.find(part), std::string::npos) << part;
    EXPECT_EQ(count_of(html, "src="), count_of(html, "src=\"data:image/png;base64,"));
  }

  void change_record(const std::string& run, const std::function<void(Json&)>& change) const {
    Json json = Json::parse(read_text(at(run + "/run.json")));
    change(json);
    folder_.write(run + "/run.json", json.dump());
  }
};

TEST_F(Report, HasEveryPart) {
  const std::string html = page({"run"});
  for (const char* part :
       {"<html lang=\"en\">", "name=\"viewport\"", "<title>small: ", "Test accuracy, %", "Loss",
        "Learning rate", "Time of an epoch", "Confusion matrix", "Misclassified images",
        "First-layer filters", "conv1: 4 filters of 3x3", "<h2>Device</h2>", "instructions",
        "GPU           none used:", "<code>recipe.<wbr>settings.<wbr>seed</code>", "name: small",
        "prefers-color-scheme: dark", "@media print"})
    EXPECT_PRED2(contains, html, part);
}

TEST_F(Report, ShowsHowTrainingChangedItsImages) {
  EXPECT_FALSE(contains(page({"run"}), "How training changed its images"));
  write_network({.more_recipe = "  input: {augment: {shift: 1, rotate: 10}}\n"});
  train("shifted", {});
  const std::string html = page({"shifted"}, "shifted/report.html");
  EXPECT_PRED2(contains, html, "How training changed its images");
  EXPECT_PRED2(contains, html, "shifts within 1 pixel; ");
  EXPECT_EQ(count_of(html, "class=\"sheet\""), 1U);
}

TEST_F(Report, CountsTheErrorsThatEvalCounts) {
  const std::string html = page({"run"});
  const Json eval = Json::parse(trainer({"eval", "run", "--json", "--threads", "1"}).out);
  std::uint64_t errors = eval["images"];
  for (const Json& row : eval["classes"]) errors -= row["hits"].get<std::uint64_t>();
  ASSERT_GT(errors, 0U);
  ASSERT_LE(errors, 100U);
  EXPECT_EQ(count_of(html, "alt=\"test image "), errors);
  EXPECT_PRED2(contains, html, std::to_string(errors) + " of 100 test images;");
}

TEST_F(Report, ComparesRuns) {
  train("other", {"--seed", "2"});
  const std::string html = page({"run", "other", "-o", "both.html"}, "both.html");
  for (const char* part : {"2 runs compared", "A small", "B small", "What differs", "Network A: small",
                           "Network B: small", "Time of an epoch, median"})
    EXPECT_PRED2(contains, html, part);
  const std::string differences =
      html.substr(html.find("What differs"), html.find("Everything, as in") - html.find("What differs"));
  EXPECT_PRED2(contains, differences, "<code>seed</code>");
  EXPECT_FALSE(contains(differences, "<code>recipe.<wbr>batch</code>"));
}

TEST_F(Report, ReplacesAnEarlierPageAndFindsRunsById) {
  folder_.write("run/report.html", "old");
  EXPECT_EQ(report({"last"}, {"TRAINER_RUNS=."}).code, 0);
  EXPECT_TRUE(read_text(at("run/report.html")).starts_with("<!DOCTYPE html>"));
  EXPECT_EQ(report({"ru", "-o", "here.html"}, {"TRAINER_RUNS=."}).code, 0);
  EXPECT_TRUE(fs::exists(at("here.html")));
  EXPECT_EQ(report({"run/model.safetensors", "-o", "file.html"}).code, 1) << "a file alone is no run";
}

TEST_F(Report, IsMadeWithoutTheNetwork) {
  fs::remove(at("run/model.safetensors"));
  fs::remove(at("run/checkpoint.safetensors"));
  const Outcome outcome = report({"run"});
  EXPECT_PRED2(contains, outcome.err, "note: run without its network: ");
  const std::string html = page({"run"});
  EXPECT_PRED2(contains, html, "There is no network to look into");
  EXPECT_PRED2(contains, html, "Test accuracy, %");
  folder_.write("run/model.safetensors", "damaged");
  EXPECT_PRED2(contains, page({"run"}), "There is no network to look into");
}

TEST_F(Report, IsMadeWithoutTheDataOrWithOthers) {
  fs::rename(at("data"), at("moved"));
  EXPECT_PRED2(contains, page({"run"}), "The network was not tested: ");
  const std::string html = page({"run", "--data", "moved"});
  EXPECT_PRED2(contains, html, "Misclassified images");
  EXPECT_FALSE(contains(html, "other data than"));
  write_small_data(folder_, {.seed = 8});
  EXPECT_PRED2(contains, page({"run"}), "other data than the network was trained on");
  IdxSet{}.write(folder_, "odd/");
  const std::string odd = page({"run", "--data", "odd"});
  EXPECT_PRED2(contains, odd, "images of 3x2x1, but the network takes 12x12x1");
  EXPECT_PRED2(contains, odd, "First-layer filters");
}

TEST_F(Report, ShowsStrangeRecordsAsText) {
  const std::string evil = "<script>alert('x')</script>";
  change_record("run", [&](Json& json) {
    json["model"] = evil;
    json["results"]["energy_joules"] = evil;
    json["results"]["from_the_future"] = {{"watts", 12.5}};
    json["device"].erase("report");
  });
  const std::string html = page({"run"});
  EXPECT_PRED2(contains, html, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
  EXPECT_PRED2(contains, html, "from_<wbr>the_<wbr>future.<wbr>watts");
  EXPECT_PRED2(contains, html, "cpu.instruction_set") << "the device's values, where its text was not kept";
}

TEST_F(Report, TakesMetricsOfEveryKind) {
  folder_.write("run/metrics.jsonl", "");
  EXPECT_PRED2(contains, page({"run"}), "There are no curves");
  fs::remove(at("run/metrics.jsonl"));
  EXPECT_PRED2(contains, page({"run"}), "There are no curves");
  std::string lines;
  for (int epoch = 1; epoch <= 1000; ++epoch) {
    const Json loss = epoch == 1000 ? Json(nullptr) : Json(1e300 / epoch);
    lines += Json({{"epoch", epoch},
                   {"step", epoch},
                   {"images", 200},
                   {"train_loss", loss},
                   {"test_loss", 0.0},
                   {"test_accuracy", -7.5},
                   {"seconds", -1e18},
                   {"learning_rate", 1e-300}})
                 .dump() +
             "\n";
  }
  folder_.write("run/metrics.jsonl", lines);
  EXPECT_LT(page({"run"}).size(), 500'000U);
  folder_.write("run/metrics.jsonl", "{\"epoch\": 1}\n");
  expect_one_line(report({"run"}), 1);
}

TEST_F(Report, RefusesWrongUsageInOneLine) {
  expect_one_line(report({}), 2);
  expect_one_line(report({"run", "--device", "abacus"}), 2);
  expect_one_line(report({"nothing"}), 1);
  expect_one_line(report({"data"}), 1);
  expect_one_line(report({"small.yaml"}), 1);
  expect_one_line(report({"run", "-o", "no/folder/page.html"}), 1);
  expect_one_line(report(Words(13, "run")), 2);
}

}  // namespace
}  // namespace trainer::test
