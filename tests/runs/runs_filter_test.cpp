// The language of --where: what it takes, what it means, and how it names what it does not take.
#include <gtest/gtest.h>
#include <limits>

#include "tests/runs/known_runs.hpp"
#include "trainer/runs/run_text.hpp"
#include "trainer/system/errors.hpp"

namespace trainer::test {
namespace {

bool holds(const std::string& expression,
           const KnownRun& run = known_run("20260101-093000-quick-1", {2, 1, 1})) {
  std::vector<KnownRun> runs{run};
  filter_runs(runs, expression);
  return !runs.empty();
}

std::string refusal(const std::string& expression) {
  try {
    (void)holds(expression);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(RunFilter, ComparesNumbers) {
  for (const char* expression :
       {"accuracy > 0.95", "accuracy>=0.96", "accuracy < .97", "epochs == 3", "epochs != 4", "batch <= 256",
        "epoch_seconds == 1", "loss < 3.4e-1", "seed > -1", "seed == +1", "epochs == '3'"})
    EXPECT_TRUE(holds(expression)) << expression;
  for (const char* expression :
       {"accuracy > 0.96", "epochs == 4", "epochs != 3", "threads < 2", "seed <= -1"})
    EXPECT_FALSE(holds(expression)) << expression;
}

TEST(RunFilter, ComparesTexts) {
  for (const char* expression :
       {"model == \"quick\"", "model == 'quick'", "model == quick", "model!=lenet", "model != 'Quick'",
        "model != ''", "started >= 2026-01-01T00:00:00", "started < '2026-02'", "status == 'finished'",
        "target == 'local'", "precision == 'bf16'", "reason == 'the recipe\\'s end'",
        "reason == \"the recipe's end\"", "host == 'here'"})
    EXPECT_TRUE(holds(expression)) << expression;
  EXPECT_FALSE(holds("model == 'quic'"));
  EXPECT_FALSE(holds("started > '2026-01-02'"));
}

TEST(RunFilter, FindsAPartOfATextOrMatchesAPatternForAllOfItWithoutRegardToCapitals) {
  for (const char* expression :
       {"device =~ 'OF A'", "id =~ 2026", "id =~ '2026*-09*'", "id =~ *quick-[0-9]", "device =~ ''",
        "model =~ Q?ICK", "model !~ lenet", "model !~ 'uic*'", "id =~ 'quick-1'"})
    EXPECT_TRUE(holds(expression)) << expression;
  for (const char* expression :
       {"model !~ 'QUI'", "model =~ 'uic*'", "id =~ 'quick-[0-9]'", "model =~ '?quick'"})
    EXPECT_FALSE(holds(expression)) << expression;
}

TEST(RunFilter, MeetsEveryConditionThatIsJoined) {
  EXPECT_TRUE(holds("epochs == 3 && model == quick && accuracy > 0.9"));
  EXPECT_TRUE(holds("epochs==3&&model==quick&&device=~'of a'"));
  EXPECT_FALSE(holds("epochs == 3 && model == lenet && accuracy > 0.9"));
  EXPECT_FALSE(holds("epochs == 3 && accuracy > 0.99"));
}

TEST(RunFilter, AComparisonWithWhatIsAbsentIsFalse) {
  KnownRun run = known_run("r", {1});
  run.epochs[0].test.loss = std::numeric_limits<double>::quiet_NaN();
  run.record.device = nullptr;
  for (const char* expression :
       {"loss < 1", "loss >= 1", "loss != 1", "energy_joules > 0", "validation_accuracy != 0", "device =~ ''",
        "device !~ 'H200'", "device != ''"})
    EXPECT_FALSE(holds(expression, run)) << expression;
  EXPECT_FALSE(holds("accuracy >= 0", known_run("r", {}))) << "it has no evaluation";
}

TEST(RunFilter, KnowsARunThatWasKilled) {
  KnownRun run = known_run("r", {1});
  run.killed = true;
  EXPECT_TRUE(holds("status == 'killed'", run));
}

struct Refused {
  const char* expression;
  const char* message;
};

TEST(RunFilter, NamesTheColumnTheChoicesAndTheNearest) {
  for (const Refused& r : {
           Refused{
               "acuracy > 1",
               "--where 'acuracy > 1': column 1: unknown field 'acuracy'; did you mean accuracy? one of id"},
           {"epochs == 1 && sed == 1", "column 16: unknown field 'sed'; did you mean seed?"},
           {"accuracy = 1", "column 10: = compares nothing; did you mean ==?"},
           {"accuracy 1",
            "column 10: '1' stands where a comparison of accuracy, a number, should; one of ==, !="},
           {"accuracy =~ 'x'", "column 10: '=~' stands where a comparison of accuracy"},
           {"accuracy > 'x'", "column 12: 'x' stands where a value of accuracy, a number, should"},
           {"id == 'x", "column 7: the text has no closing '"},
           {"accuracy >",
            "column 11: the end of the expression stands where a value of accuracy, a number, should"},
           {"model == (quick)",
            "column 10: '(quick)' stands where a value of model, a text, should; for or, not"},
           {"", "column 1: the end of the expression stands where a field should; one of id, model"},
           {"epochs == 1 & seed == 1", "column 13: '&' stands where && should"},
           {"epochs == 1 seed == 1", "column 13: 'seed' stands where && should"},
           {"epochs == 1e999", "column 11: '1e999' stands where a value of epochs"},
           {"epochs == inf", "column 11: 'inf' stands where a value of epochs"},
           {"epochs == 1x", "column 11: '1x' stands where a value of epochs"},
           {"epochs == 1 $", "column 13: '$' stands where && should"},
           {"epochs == 1 && ", "column 16: the end of the expression stands where a field should"},
       })
    EXPECT_PRED2(
        [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; },
        refusal(r.expression), r.message)
        << r.expression;
}

TEST(RunFilter, SaysWhatDoesWhatItDoesNotTake) {
  for (const Refused& r : {
           Refused{"epochs == 1 || seed == 1",
                   "column 13: '||' stands where && should; for or, not and brackets: --json | jq"},
           {"!(epochs == 1)", "column 1: '!(epochs' stands where a field should; one of"},
           {"!(epochs == 1)", "; for or, not and brackets: --json | jq 'map(select("},
           {"epochs == 1)", "column 12: ')' stands where && should; for or, not and brackets: --json | jq"},
           {"model =~ 'lenet|quick'",
            "column 10: 'lenet|quick' looks like a regular expression, but a part of the text"},
           {"id =~ '^2026\\d+'", "with * ? [...]; else: --json | jq 'map(select(.id | test("},
           {"id =~ 'quick.*'", "looks like a regular expression"},
       })
    EXPECT_PRED2(
        [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; },
        refusal(r.expression), r.message)
        << r.expression;
}

// Exponential for a matcher that tries every place for every star: the test would not end.
TEST(RunFilter, MatchesManyStarsInTimeThatGrowsWithTheText) {
  KnownRun run = known_run("r", {1});
  run.record.model = std::string(2000, 'a');
  std::string stars;
  for (int i = 0; i < 40; ++i) stars += "*a";
  EXPECT_TRUE(holds("model =~ '" + stars + "'", run));
  EXPECT_FALSE(holds("model =~ '" + stars + "*b'", run));
}

}  // namespace
}  // namespace trainer::test
