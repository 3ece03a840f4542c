// The language of --where: what it takes, what it means, and how it names what it does not take.
#include <gtest/gtest.h>
#include <limits>

#include "tests/runs/known_runs.hpp"
#include "trainer/runs/run_filter.hpp"
#include "trainer/system/errors.hpp"

namespace trainer::test {
namespace {

bool holds(const std::string& expression,
           const KnownRun& run = known_run("20260101-093000-quick-1", {2, 1, 1})) {
  return RunFilter::parse(expression).matches(run);
}

std::string refusal(const std::string& expression) {
  try {
    (void)RunFilter::parse(expression);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(RunFilter, ComparesNumbers) {
  for (const char* expression :
       {"accuracy > 0.95", "accuracy>=0.96", "accuracy < .97", "epochs == 3", "epochs != 4", "batch <= 256",
        "epoch_seconds == 1", "loss < 3.4e-1", "seed > -1", "seed == +1"})
    EXPECT_TRUE(holds(expression)) << expression;
  for (const char* expression :
       {"accuracy > 0.96", "epochs == 4", "epochs != 3", "threads < 2", "seed <= -1"})
    EXPECT_FALSE(holds(expression)) << expression;
}

TEST(RunFilter, ComparesTexts) {
  for (const char* expression :
       {"model == \"quick\"", "model == 'quick'", "model != 'Quick'", "started >= '2026-01-01'",
        "started < '2026-02'", "status == 'finished'", "target == 'local'", "precision == 'bf16'",
        "reason == 'the recipe\\'s end'", "reason == \"the recipe's end\"", "host == 'here'"})
    EXPECT_TRUE(holds(expression)) << expression;
  EXPECT_FALSE(holds("model == 'quic'"));
  EXPECT_FALSE(holds("started > '2026-01-02'"));
}

TEST(RunFilter, FindsPatternsAnywhereWithoutRegardToCapitals) {
  for (const char* expression :
       {"device =~ 'OF A'", "id =~ '^2026\\d+-09'", "id =~ 'quick-[0-9]$'", "model =~ 'lenet|quick'",
        "model !~ 'lenet'", "id =~ '\\d{8}-'", "device =~ ''"})
    EXPECT_TRUE(holds(expression)) << expression;
  EXPECT_FALSE(holds("model !~ 'QUI'"));
  EXPECT_FALSE(holds("model =~ '^uick'"));
}

TEST(RunFilter, JoinsByPrecedence) {
  EXPECT_TRUE(holds("epochs == 3 || epochs == 4 && model == 'x'")) << "&& binds closer than ||";
  EXPECT_FALSE(holds("(epochs == 3 || epochs == 4) && model == 'x'"));
  EXPECT_TRUE(holds("!epochs == 4")) << "! takes the comparison behind it";
  EXPECT_TRUE(holds("!!(epochs == 3) && !(model == 'x' || model == 'y')"));
  EXPECT_TRUE(holds("epochs == 1 || epochs == 2 || epochs == 3"));
}

TEST(RunFilter, AComparisonWithWhatIsAbsentIsFalse) {
  KnownRun run = known_run("r", {1});
  run.epochs[0].test.loss = std::numeric_limits<double>::quiet_NaN();
  run.record.device = nullptr;
  for (const char* expression :
       {"loss < 1", "loss >= 1", "loss != 1", "energy_joules > 0", "validation_accuracy != 0", "device =~ ''",
        "device !~ 'H200'", "device != ''"})
    EXPECT_FALSE(holds(expression, run)) << expression;
  EXPECT_TRUE(holds("!(loss < 1)", run));
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
           Refused{"acuracy > 1",
                   "--where: column 1: unknown field 'acuracy'; did you mean accuracy? one of id"},
           {"epochs == 1 && sed == 1", "column 16: unknown field 'sed'; did you mean seed?"},
           {"accuracy = 1", "column 10: = compares nothing; did you mean ==?"},
           {"accuracy 1",
            "column 10: '1' stands where a comparison of accuracy, a number, should; one of ==, !="},
           {"accuracy =~ 'x'", "column 10: '=~' stands where a comparison of accuracy"},
           {"accuracy > 'x'", "column 12: accuracy is a number, but 'x' stands here"},
           {"status == finished",
            "column 11: status is a text, but 'finished' stands here; write \"finished\""},
           {"id == 1", "write \"1\", in quotes"},
           {"id == 'x", "column 7: the text has no closing '"},
           {"accuracy >", "column 11: accuracy is a number, but the end of the expression stands here"},
           {"", "column 1: the end of the expression stands where a field should; one of id, model"},
           {"epochs == 1 & seed == 1", "column 13: '&' alone means nothing; write &&"},
           {"epochs == 1 seed == 1", "column 13: 'seed' stands where && or || should"},
           {"(epochs == 1", "column 13: the end of the expression stands where the ) for the ( of column 1"},
           {"epochs == 1)", "column 12: this ) closes nothing"},
           {"epochs == 1e999", "column 11: '1e999' begins no number"},
           {"epochs == 1x", "column 11: '1x' begins no number"},
           {"epochs == 1 $", "column 13: '$' begins no word"},
           {"epochs == 1 && ", "column 16: the end of the expression stands where a field should"},
       })
    EXPECT_PRED2(
        [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; },
        refusal(r.expression), r.message)
        << r.expression;
}

TEST(RunFilter, LimitsLengthAndDepth) {
  EXPECT_TRUE(holds(std::string(40, '!') + "epochs == 3"));
  EXPECT_NE(refusal(std::string(51, '(') + "epochs == 3" + std::string(51, ')')).find("more than 50"),
            std::string::npos);
  EXPECT_NE(refusal(std::string(1900, '!') + "epochs == 3").find("more than 50"), std::string::npos);
  EXPECT_NE(refusal("epochs == 3" + std::string(2000, ' ')).find("2000 characters at most"),
            std::string::npos);
  std::string chain = "epochs == 1";
  while (chain.size() < 1900) chain += " || epochs == 1";
  EXPECT_TRUE(holds(chain + " || epochs == 3")) << "a chain is not deep";
}

TEST(RunPattern, RefusesWhatCouldHangOrEndTheProgram) {
  const auto reason = [](const std::string& pattern) -> std::string {
    try {
      const RunPattern accepted(pattern);
    } catch (const PatternError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(reason("(?:ab)+"), "accepted");
  EXPECT_EQ(reason("(a{8}){8}"), "accepted");
  EXPECT_EQ(reason("(a{9}){8}"), "its repetition counts multiply to more than 64");
  EXPECT_EQ(reason("a{1,99999999999999999999}"), "its repetition counts multiply to more than 64");
  EXPECT_EQ(reason("(?=.*a)"), "look-ahead, (?= or (?!, is not taken; write !~ for what must not be there");
  EXPECT_EQ(reason("(a)\\1"), "back-references are not taken");
  EXPECT_EQ(reason(std::string(101, 'a')), "it has 101 characters, 100 are the most");
  EXPECT_EQ(reason("(a"), "a parenthesis has no partner, or nothing stands before *, +, ? or {...}");
  EXPECT_EQ(reason("[z-a]"), "[...] is not closed, or a range in it is upside down");
  EXPECT_EQ(reason("*a"), reason("(a"));
  EXPECT_NE(reason("a{"), "accepted");
  EXPECT_NE(reason(std::string(1, '\0')), "accepted");
}

// Exponential for a matcher that tries one alternative after the other: the test would not end.
TEST(RunPattern, MatchesInTimeThatGrowsWithTheText) {
  const std::string text(5000, 'a');
  for (const char* pattern : {"(a*)*b", "(a|a)*b", "(a|aa)+$b", "(.*)*(.*)*(.*)*b", "((a?){8}){8}b"})
    EXPECT_FALSE(RunPattern(pattern).is_in(text)) << pattern;
  EXPECT_TRUE(RunPattern(std::string(49, '(') + "a" + std::string(49, ')')).is_in(text));
  EXPECT_TRUE(RunPattern("^a{64}").is_in(text));
  EXPECT_FALSE(RunPattern("b").is_in(std::string(256, 'a') + "b")) << "what comes later is not looked at";
}

}  // namespace
}  // namespace trainer::test
